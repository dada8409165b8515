import { type FileHandle, mkdir, open, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { errnoOf } from "../../errors/system-failure.ts";
import type { Home } from "../../storage/home.ts";
import type { Sha256, SnapshotId } from "../manifest.ts";
import type { PageMap } from "../page-map.ts";
import { hashMemory } from "./hash-memory.ts";
import { sealOf } from "./seal.ts";
import { memoryPath, sealName } from "./snapshot-files.ts";
import { snapshotFolder } from "./snapshot-folders.ts";

// The last steps of a new snapshot, in this order: its memory, then its other files, then its name. So whatever has
// a name is whole; if it is to be durable, even after a power failure.

/** Brings a written memory file to the disk and seals it; returns its digest. Nothing may change the file after this. */
export async function completeMemory(
  folder: string,
  file: FileHandle,
  { pages, durable }: { readonly pages: PageMap; readonly durable: boolean },
): Promise<Sha256> {
  await file.chmod(0o400);
  if (durable) await file.sync();
  await writeNew(join(folder, sealName), new TextEncoder().encode(sealOf(file.fd)), { durable });
  return await hashMemory(memoryPath(folder), { pages, checkHoles: false });
}

export async function writeNew(
  path: string,
  bytes: Uint8Array,
  { durable }: { readonly durable: boolean },
): Promise<void> {
  await using file = await open(path, "wx", 0o600);
  await file.writeFile(bytes);
  if (durable) await file.sync();
}

/** Gives a complete folder on the same file system its name. */
export async function publishSnapshot(
  home: Home,
  { folder, id, durable }: { readonly folder: string; readonly id: SnapshotId; readonly durable: boolean },
): Promise<void> {
  const target = snapshotFolder(home, id);
  if (durable) await syncFolder(folder);
  await mkdir(dirname(target), { recursive: true, mode: 0o700 });
  try {
    await rename(folder, target);
  } catch (error) {
    // The same snapshot is there already.
    if (!["ENOTEMPTY", "EEXIST"].includes(errnoOf(error) ?? "")) throw error;
  }
  if (durable) await syncFolder(dirname(target));
}

/** Makes the names in a folder survive a power failure. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === "win32") return;
  await using handle = await open(folder, "r");
  await handle.sync();
}
