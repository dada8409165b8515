import type { ByteString } from "../tree.ts";
import type { ImageWriter } from "./image-writer.ts";
import type { InodeRecord } from "./inode-record.ts";
import { DIRENT, DIRENT_SIZE, EROFS_BLKSIZ, EROFS_SLOTSIZE, fileTypes } from "./on-disk.ts";

/**
 * A directory's content: its entries, "." and ".." among them, in the order of their bytes, cut into blocks
 * (erofs.rst, "Directories"). Every block holds its own entries and names, so that a look-up can search blocks by
 * their first name and then inside one block.
 */
export interface DirectoryPlan {
  readonly names: readonly ByteString[];
  readonly children: readonly InodeRecord[];
  /** Index of each block's first entry, and at the end the number of entries. */
  readonly blockStarts: readonly number[];
  /** Full blocks, and what the last one uses. */
  readonly size: number;
}

export function planDirectory(names: readonly ByteString[], children: readonly InodeRecord[]): DirectoryPlan {
  const blockStarts = [0];
  let used = 0;
  for (let index = 0; index < names.length; index++) {
    const length = DIRENT_SIZE + (names[index] ?? "").length;
    if (used + length > EROFS_BLKSIZ) {
      blockStarts.push(index);
      used = 0;
    }
    used += length;
  }
  const size = (blockStarts.length - 1) * EROFS_BLKSIZ + used;
  blockStarts.push(names.length);
  return { names, children, blockStarts, size };
}

/** Writes one block of a directory, without padding: the caller pads all but the last. */
export function writeDirectoryBlock(plan: DirectoryPlan, block: number, out: ImageWriter): void {
  const first = plan.blockStarts[block] ?? 0;
  const end = plan.blockStarts[block + 1] ?? first;
  const namesAt = (end - first) * DIRENT_SIZE;
  let length = namesAt;
  for (let index = first; index < end; index++) length += (plan.names[index] ?? "").length;
  const at = out.claim(length);
  let nameOffset = namesAt;
  for (let index = first; index < end; index++) {
    const name = plan.names[index];
    const child = plan.children[index];
    if (name === undefined || child === undefined) continue;
    const entry = at + (index - first) * DIRENT_SIZE;
    const nid = child.offset / EROFS_SLOTSIZE;
    out.view.setUint32(entry + DIRENT.nid, nid, true);
    out.view.setUint32(entry + DIRENT.nid + 4, nid / 0x1_0000_0000, true);
    out.view.setUint16(entry + DIRENT.nameoff, nameOffset, true);
    out.view.setUint8(entry + DIRENT.file_type, fileTypes[child.node.type].ft);
    out.setBytes(at + nameOffset, name);
    nameOffset += name.length;
  }
}
