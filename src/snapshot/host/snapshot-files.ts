import { createHash } from "node:crypto";
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { errnoOf, systemFailure } from "../../errors/system-failure.ts";
import type { Sha256 } from "../manifest.ts";
import { invalidSnapshot } from "../snapshot-error.ts";

/** The files of a snapshot's folder. */
export const manifestName = "manifest.json";
export const stateName = "state.bin";
export const memoryName = "memory.img";
export const sealName = "seal.json";
export const workingSetName = "working-set.bin";

/** Path of the memory file of the snapshot in this folder. */
export function memoryPath(folder: string): string {
  return join(folder, memoryName);
}

export function sha256(bytes: Uint8Array): Sha256 {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The whole of a small file; never follows a link, waits for a pipe, or reads more than `maximumLength`. */
export function readWhole(folder: string, name: string, maximumLength: number): Uint8Array {
  const path = join(folder, name);
  const fd = openPlain(path);
  try {
    const { size } = fstatSync(fd);
    if (size > maximumLength) throw invalidSnapshot(`its ${name} has ${size} bytes`);
    const bytes = new Uint8Array(size);
    for (let done = 0; done < size; ) {
      const count = readSync(fd, bytes, done, size - done, done);
      if (count === 0) throw invalidSnapshot(`its ${name} became shorter while it was read`);
      done += count;
    }
    return bytes;
  } finally {
    closeSync(fd);
  }
}

/** Opens a regular file for reading. */
export function openPlain(path: string): number {
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    if (fstatSync(fd).isFile()) return fd;
    closeSync(fd);
  } catch (error) {
    if (!["ENOENT", "ELOOP", "ENXIO"].includes(errnoOf(error) ?? ""))
      throw systemFailure(error, "Opening", path);
    throw invalidSnapshot(`'${path}' is missing`, error);
  }
  throw invalidSnapshot(`'${path}' is no file`);
}
