import type { Stats } from "node:fs";
import { lstat, open, opendir, readlink, stat as statFile } from "node:fs/promises";
import { join } from "node:path";
import { SupermachineError } from "../errors/supermachine-error.ts";

const block = 512;
const pieceBytes = 256 * 1024;

/**
 * A tar stream (POSIX.1-2001 pax interchange format) of what is in a folder of this host: files, directories and
 * symbolic links with their permission bits, owned by root. Sockets are left out; nobody can copy them.
 */
export async function* tarOfFolder(folder: string): AsyncGenerator<Uint8Array> {
  yield* tarOfEntries(folder, "");
  yield new Uint8Array(2 * block);
}

async function* tarOfEntries(folder: string, prefix: string): AsyncGenerator<Uint8Array> {
  const names: string[] = [];
  for await (const { name } of await opendir(folder)) names.push(name);
  for (const name of names.sort()) {
    const path = join(folder, name);
    const stat = await lstat(path);
    const entry = `${prefix}${name}`;
    if (stat.isDirectory()) {
      yield header({ name: `${entry}/`, type: "5", size: 0, stat });
      yield* tarOfEntries(path, `${entry}/`);
    } else if (stat.isSymbolicLink()) {
      yield header({ name: entry, type: "2", size: 0, stat, target: await readlink(path) });
    } else if (stat.isFile()) {
      yield* tarOfFile(path, { name: entry, stat });
    } else if (!stat.isSocket()) {
      throw new SupermachineError("INVALID_ARGUMENT", `'${path}' is neither a file, a directory nor a link`, {
        hint: "Leave it out of what is copied",
      });
    }
  }
}

async function* tarOfFile(path: string, entry: { name: string; stat: Stats }): AsyncGenerator<Uint8Array> {
  const { name, stat } = entry;
  const { size } = stat;
  yield header({ name, type: "0", size, stat });
  const file = await open(path, "r");
  try {
    for (let position = 0; position < size; ) {
      // A fresh buffer each time: the consumer may still hold the last one.
      const buffer = Buffer.allocUnsafe(Math.min(pieceBytes, size - position));
      const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
      if (bytesRead === 0)
        throw new SupermachineError("FILE_ERROR", `'${path}' became shorter while it was copied`);
      position += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
  yield new Uint8Array((block - (size % block)) % block);
}

interface HeaderFields {
  readonly name: string;
  readonly type: "0" | "2" | "5";
  readonly size: number;
  readonly stat: Stats;
  readonly target?: string;
}

/** The ustar header of an entry, with a pax header before it for whatever does not fit. */
function header(fields: HeaderFields): Uint8Array {
  const records: [string, string][] = [];
  const { name, target = "", size } = fields;
  if (Buffer.byteLength(name) > 100 || !isAscii(name)) records.push(["path", name]);
  if (Buffer.byteLength(target) > 100 || !isAscii(target)) records.push(["linkpath", target]);
  if (size > 0o77777777777) records.push(["size", String(size)]);
  const plain = ustar(fields);
  if (records.length === 0) return plain;
  const data = Buffer.from(records.map(([key, value]) => paxRecord(key, value)).join(""));
  const pax = ustar({ ...fields, name: "pax", target: "", type: "x", size: data.length });
  return Buffer.concat([pax, data, Buffer.alloc((block - (data.length % block)) % block), plain]);
}

function ustar(fields: Omit<HeaderFields, "type"> & { type: string }): Uint8Array {
  const bytes = Buffer.alloc(block);
  const octal = (value: number, at: number, width: number) =>
    bytes.write(`${value.toString(8).padStart(width - 1, "0")}\0`, at, "latin1");
  bytes.write(fields.name, 0, 100, "utf8");
  octal(fields.stat.mode & 0o7777, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(fields.size > 0o77777777777 ? 0 : fields.size, 124, 12);
  octal(Math.max(0, Math.floor(fields.stat.mtimeMs / 1000)), 136, 12);
  bytes.write("        ", 148, "latin1");
  bytes.write(fields.type, 156, "latin1");
  bytes.write(fields.target ?? "", 157, 100, "utf8");
  bytes.write("ustar\x0000", 257, "latin1");
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return bytes;
}

/** "LENGTH KEY=VALUE\n", the length counting itself. */
function paxRecord(key: string, value: string): string {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  let length = rest + String(rest).length;
  if (String(length).length > String(rest).length) length = rest + String(length).length;
  return `${length} ${key}=${value}\n`;
}

function isAscii(text: string): boolean {
  return Buffer.byteLength(text) === text.length;
}

/** What a host path is, its links followed. @throws SupermachineError `INVALID_ARGUMENT` when it cannot be looked at. */
export async function hostStat(path: string): Promise<Stats> {
  try {
    return await statFile(path);
  } catch (error) {
    throw new SupermachineError("INVALID_ARGUMENT", `The host path '${path}' cannot be read`, {
      hint: "Check that it exists and may be read",
      cause: error,
    });
  }
}
