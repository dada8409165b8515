import { fstatSync } from "node:fs";
import { open, rename } from "node:fs/promises";
import { join } from "node:path";
import type { Home } from "../../storage/home.ts";
import { createTemporary } from "../../storage/temporary.ts";
import { readWhole, sealName } from "./snapshot-files.ts";

/**
 * What the system says about a memory file that was whole: enough to tell, without reading it, that nothing has
 * written to it since. The system sets the time of the last change on every write, truncation and change of attributes,
 * and no call sets it to another value. A copy has another one, and is then verified in full once.
 */
export type Seal = string;

export function sealOf(fd: number): Seal {
  const { size, ino, mtimeNs, ctimeNs } = fstatSync(fd, { bigint: true });
  return JSON.stringify({
    version: 1,
    length: `${size}`,
    inode: `${ino}`,
    modified: `${mtimeNs}`,
    changed: `${ctimeNs}`,
  });
}

/** Whether the seal in the snapshot's folder is the one that the file has now. */
export function isSealed(folder: string, fd: number): boolean {
  try {
    return new TextDecoder().decode(readWhole(folder, sealName, 4096)) === sealOf(fd);
  } catch {
    return false;
  }
}

/** Replaces the seal of a snapshot that has been verified. */
export async function writeSeal(home: Home, folder: string, seal: Seal): Promise<void> {
  using temporary = createTemporary(home, "seal");
  {
    await using file = await open(temporary.path, "wx", 0o600);
    await file.writeFile(seal);
  }
  await rename(temporary.path, join(folder, sealName));
}
