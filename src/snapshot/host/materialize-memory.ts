import { constants } from "node:fs";
import { copyFile, type FileHandle, open, rm } from "node:fs/promises";
import { systemFailure } from "../../errors/system-failure.ts";
import { type PageMap, pageLength } from "../page-map.ts";
import { readFully } from "./hash-memory.ts";
import { blockLength, isZero } from "./memory-content.ts";
import type { OpenedSnapshot } from "./open-snapshot.ts";
import { memoryPath } from "./snapshot-files.ts";
import { writeFully } from "./write-fully.ts";

/**
 * Makes one file of a memory that lies in several, for those who can map only one. The file must not exist. Where the
 * file system can share blocks between files (btrfs, XFS), the oldest part takes no space.
 *
 * @throws SupermachineError `NO_SPACE`, `PERMISSION_DENIED`.
 */
export async function materializeMemory(snapshot: OpenedSnapshot, path: string): Promise<void> {
  const [oldest = snapshot, ...younger] = [...snapshot.ancestors, snapshot];
  try {
    const shared = await shareBlocks(memoryPath(oldest.directory), path);
    await using file = await open(path, shared ? "r+" : "wx", 0o600);
    if (!shared) await file.truncate(snapshot.manifest.memory.length);
    for (const { directory, pages } of shared ? younger : [oldest, ...younger]) {
      await using source = await open(memoryPath(directory), "r");
      await copyPages({ from: source, to: file, pages, skipZeros: directory === oldest.directory });
    }
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST"))
      await rm(path, { force: true });
    throw systemFailure(error, "Writing", path);
  }
}

/** Makes `to` a file with the same blocks as `from`; false where that cannot be done. */
async function shareBlocks(from: string, to: string): Promise<boolean> {
  try {
    await copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE_FORCE);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") throw error;
    return false;
  }
  await using file = await open(to, "r");
  await file.chmod(0o600);
  return true;
}

interface CopyPages {
  readonly from: FileHandle;
  readonly to: FileHandle;
  readonly pages: PageMap;
  /** What is zero is a hole in the target already. */
  readonly skipZeros: boolean;
}

async function copyPages({ from, to, pages, skipZeros }: CopyPages): Promise<void> {
  const buffer = new Uint8Array(blockLength);
  for (const { start, count } of pages.runs())
    for (let done = 0; done < count * pageLength; done += blockLength) {
      const bytes = buffer.subarray(0, Math.min(blockLength, count * pageLength - done));
      await readFully(from, start * pageLength + done, bytes);
      if (!(skipZeros && isZero(bytes))) await writeFully(to, start * pageLength + done, bytes);
    }
}
