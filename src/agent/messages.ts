import { SupermachineError } from "../errors/supermachine-error.ts";
import { Operation } from "./protocol.ts";
import type { DirectoryEntry, ExecExit, ExecRequest, FileStat, FileType, GuestSetup } from "./requests.ts";
import { ValueReader, ValueWriter } from "./values.ts";

/** How long the agent waits for the root device and the network interface to appear. */
const SETUP_DEADLINE_MS = 15_000;
/** "As it was, or the default" in a mode field. */
const NO_MODE = 0xffff_ffff;
const TO_THE_END = 0xffff_ffff_ffff_ffffn;

/** The payload of each request; docs/agent-protocol.md has the tables. */
export const encodeRequest = {
  setup(setup: GuestSetup): Uint8Array {
    const writer = begin(Operation.SETUP)
      .strings(setup.modules)
      .string(setup.rootDevice)
      .flag(setup.dax)
      .string(setup.hostname)
      .flag(setup.network !== undefined);
    if (setup.network !== undefined) {
      const { network } = setup;
      writer.string(network.interface).string(network.address).string(network.gateway);
      writer.strings(network.nameservers);
    }
    writer.u64(setup.clockNs).bytes(setup.entropy).strings(setup.volumes).u32(SETUP_DEADLINE_MS);
    return writer.finish();
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
      .u32(Math.min(Math.ceil(request.timeoutMs ?? 0), 0xffff_ffff))
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
};

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

function clampSize(cells: number): number {
  return Math.max(0, Math.min(0xffff, Math.floor(cells)));
}
