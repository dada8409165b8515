import type { Stats } from "node:fs";
import { lstat, open, opendir, readlink, stat as statFile } from "node:fs/promises";
import { join } from "node:path";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { type TarMember, tarEnd, tarHeader, tarPadding } from "../tar/write-tar.ts";

const pieceBytes = 256 * 1024;

/**
 * A tar stream (POSIX.1-2001 pax interchange format) of what is in a folder of this host: files, directories and
 * symbolic links with their permission bits, owned by root. Sockets are left out; nobody can copy them.
 */
export async function* tarOfFolder(folder: string): AsyncGenerator<Uint8Array> {
  yield* tarOfEntries(folder, "");
  yield tarEnd;
}

async function* tarOfEntries(folder: string, prefix: string): AsyncGenerator<Uint8Array> {
  const names: string[] = [];
  for await (const { name } of await opendir(folder)) names.push(name);
  for (const name of names.sort()) {
    const path = join(folder, name);
    const stat = await lstat(path);
    const entry = `${prefix}${name}`;
    if (stat.isDirectory()) {
      yield header({ name: `${entry}/`, type: "directory", size: 0, stat });
      yield* tarOfEntries(path, `${entry}/`);
    } else if (stat.isSymbolicLink()) {
      yield header({ name: entry, type: "symlink", size: 0, stat, target: await readlink(path) });
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
  yield header({ name, type: "file", size, stat });
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
  yield tarPadding(size);
}

function header({ name, type, size, stat, target }: HeaderFields): Uint8Array {
  return tarHeader({
    path: name,
    type,
    mode: stat.mode & 0o7777,
    mtime: stat.mtimeMs / 1000,
    size,
    ...(target === undefined ? {} : { linkTarget: target }),
  });
}

interface HeaderFields {
  readonly name: string;
  readonly type: TarMember["type"];
  readonly size: number;
  readonly stat: Stats;
  readonly target?: string;
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
