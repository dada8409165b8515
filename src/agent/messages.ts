import { SupermachineError } from "../errors/supermachine-error.ts";
import { Operation } from "./protocol.ts";
import type {
  DirectoryEntry,
  ExecExit,
  ExecRequest,
  FileStat,
  FileType,
  GuestIdentity,
  GuestSetup,
} from "./requests.ts";
import { ValueReader, ValueWriter } from "./values.ts";

/** How long the agent waits for the root device and the network interface to appear. */
const SETUP_DEADLINE_MS = 15_000;
/** "As it was, or the default" in a mode field. */
const NO_MODE = 0xffff_ffff;
const TO_THE_END = 0xffff_ffff_ffff_ffffn;
const MAX_U64 = 0xffff_ffff_ffff_ffffn;

/** The payload of each request; docs/agent-protocol.md has the tables. */
export const encodeRequest = {
  setup(setup: GuestSetup): Uint8Array {
    const writer = begin(Operation.SETUP).strings(setup.modules).string(setup.rootDevice).flag(setup.dax);
    writeIdentity(writer, setup.identity).flag(setup.network !== undefined);
    if (setup.network !== undefined) {
      const { network } = setup;
      writer.string(network.interface).string(network.address).string(network.gateway);
      writer.strings(network.nameservers);
    }
    return writer.strings(setup.volumes).u32(SETUP_DEADLINE_MS).finish();
  },

  exec(request: ExecRequest): Uint8Array {
    if (request.argv.length === 0)
      throw new SupermachineError("INVALID_ARGUMENT", "A command needs at least one word");
    return begin(Operation.EXEC)
      .strings(request.argv)
      .strings(request.env)
      .string(request.cwd ?? "/")
      .flag(request.createCwd)
      .string(request.user ?? "")
      .flag(request.tty !== undefined)
      .u16(clampSize(request.tty?.columns ?? 0))
      .u16(clampSize(request.tty?.rows ?? 0))
      .flag(request.stdin)
      .flag(request.parked)
      .u32(clampTime(request.timeoutMs ?? 0))
      .finish();
  },

  readFile(path: string, range: { offset?: number; length?: number }): Uint8Array {
    const length = range.length === undefined ? TO_THE_END : BigInt(range.length);
    return begin(Operation.READ_FILE)
      .string(path)
      .u64(BigInt(range.offset ?? 0))
      .u64(length)
      .finish();
  },

  writeFile(path: string, options: { mode?: number; append?: boolean }): Uint8Array {
    return begin(Operation.WRITE_FILE)
      .string(path)
      .u32(options.mode ?? NO_MODE)
      .flag(options.append)
      .finish();
  },

  stat(path: string, options: { followSymlinks?: boolean }): Uint8Array {
    return begin(Operation.STAT)
      .string(path)
      .flag(options.followSymlinks !== false)
      .finish();
  },

  list(path: string): Uint8Array {
    return begin(Operation.LIST).string(path).finish();
  },

  mkdir(path: string, options: { parents?: boolean; mode?: number }): Uint8Array {
    return begin(Operation.MKDIR)
      .string(path)
      .flag(options.parents)
      .u32(options.mode ?? 0o777)
      .finish();
  },

  remove(path: string, options: { recursive?: boolean; force?: boolean }): Uint8Array {
    return begin(Operation.REMOVE).string(path).flag(options.recursive).flag(options.force).finish();
  },

  rename(from: string, to: string): Uint8Array {
    return begin(Operation.RENAME).string(from).string(to).finish();
  },

  chmod(path: string, mode: number): Uint8Array {
    return begin(Operation.CHMOD).string(path).u32(mode).finish();
  },

  chown(path: string, ids: { uid: number; gid: number }): Uint8Array {
    return begin(Operation.CHOWN).string(path).u32(ids.uid).u32(ids.gid).finish();
  },

  symlink(target: string, path: string): Uint8Array {
    return begin(Operation.SYMLINK).string(target).string(path).finish();
  },

  readTar(path: string): Uint8Array {
    return begin(Operation.READ_TAR).string(path).finish();
  },

  writeTar(path: string): Uint8Array {
    return begin(Operation.WRITE_TAR).string(path).finish();
  },

  connect(port: number): Uint8Array {
    return begin(Operation.CONNECT).u16(port).finish();
  },

  shutdown(): Uint8Array {
    return begin(Operation.SHUTDOWN).finish();
  },

  freeze(options: { timeoutMs: number }): Uint8Array {
    return begin(Operation.FREEZE).u32(clampTime(options.timeoutMs)).finish();
  },

  renew(identity: GuestIdentity): Uint8Array {
    return writeIdentity(begin(Operation.RENEW), identity).finish();
  },

  thaw(): Uint8Array {
    return begin(Operation.THAW).finish();
  },

  adopt(pid: number): Uint8Array {
    if (!Number.isInteger(pid) || pid <= 0 || pid > 0xffff_ffff) throw unusable("process id", pid);
    return begin(Operation.ADOPT).u32(pid).finish();
  },

  reclaim(leastMiB: number): Uint8Array {
    return begin(Operation.RECLAIM).u32(leastMiB).finish();
  },
};

/** Whether an EXEC request asks for a command that outlives its connection. */
export function asksToPark(request: Uint8Array): boolean {
  const reader = new ValueReader(request);
  reader.u8();
  for (let list = 0; list < 2; list++) for (let left = reader.u32(); left > 0; left--) reader.bytes();
  reader.bytes();
  reader.flag();
  reader.bytes();
  reader.flag();
  reader.u32();
  reader.flag();
  return reader.flag();
}

/** An empty result is all that most operations answer. */
export function decodeNothing(reader: ValueReader): void {
  reader.end();
}

export function decodeExit(reader: ValueReader): ExecExit {
  const bySignal = reader.flag();
  const value = reader.u8();
  const timedOut = reader.flag();
  const outOfMemory = reader.flag();
  reader.end();
  return bySignal ? { signal: value, timedOut, outOfMemory } : { exitCode: value, timedOut, outOfMemory };
}

export function decodeStat(reader: ValueReader): FileStat {
  const stat = readStat(reader);
  reader.end();
  return stat;
}

/** The entries of a LIST result: each a counted record, so that a bad one cannot shift the next. */
export function decodeEntries(bytes: Uint8Array): DirectoryEntry[] {
  const reader = new ValueReader(bytes);
  const entries: DirectoryEntry[] = [];
  while (reader.remaining > 0) {
    const record = new ValueReader(reader.bytes());
    const name = record.string();
    if (name === "" || name === "." || name === ".." || name.includes("/"))
      throw new SupermachineError("AGENT_PROTOCOL", "The guest agent listed an impossible file name");
    entries.push({ name, ...readStat(record) });
    record.end();
  }
  return entries;
}

const fileTypes: readonly FileType[] = [
  "file",
  "directory",
  "symlink",
  "character-device",
  "block-device",
  "fifo",
  "socket",
];

function readStat(reader: ValueReader): FileStat {
  const type = fileTypes[reader.u8()];
  if (type === undefined)
    throw new SupermachineError("AGENT_PROTOCOL", "The guest agent named an unknown file type");
  const size = Number(reader.u64());
  const mode = reader.u32() & 0o7777;
  const uid = reader.u32();
  const gid = reader.u32();
  const seconds = Number(reader.i64());
  const mtimeMs = seconds * 1000 + reader.u32() / 1e6;
  const target = reader.string();
  const stat = { type, size, mode, uid, gid, mtimeMs };
  return type === "symlink" ? { ...stat, target } : stat;
}

function begin(operation: Operation): ValueWriter {
  return new ValueWriter().u8(operation);
}

function writeIdentity(writer: ValueWriter, identity: GuestIdentity): ValueWriter {
  const { hostname, clockNs, entropy, machineId, bootId } = identity;
  // As the agent checks them: it refuses the whole request without saying which of them it was.
  if (!/^[^\s/\p{Cc}]+$/u.test(hostname) || new TextEncoder().encode(hostname).length > 64)
    throw unusable("host name", JSON.stringify(hostname));
  if (clockNs < 0n || clockNs > MAX_U64) throw unusable("clock", clockNs);
  if (entropy.length < 32 || entropy.length > 512) throw unusable("length of entropy", entropy.length);
  if (!/^[0-9a-f]{32}$/.test(machineId)) throw unusable("machine id", JSON.stringify(machineId));
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(bootId))
    throw unusable("boot id", JSON.stringify(bootId));
  return writer.string(hostname).u64(clockNs).bytes(entropy).string(machineId).string(bootId);
}

function unusable(what: string, value: unknown): SupermachineError {
  return new SupermachineError("INVALID_ARGUMENT", `${value} cannot be the ${what} of a guest`);
}

function clampTime(ms: number): number {
  return Math.max(0, Math.min(Math.ceil(ms), 0xffff_ffff));
}

function clampSize(cells: number): number {
  return Math.max(0, Math.min(0xffff, Math.floor(cells)));
}
