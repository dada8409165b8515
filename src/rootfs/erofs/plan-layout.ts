import type { Timestamp } from "../tree.ts";
import { tooLarge } from "./check-node.ts";
import { planChunks } from "./chunk-plan.ts";
import type { InodeRecord } from "./inode-record.ts";
import {
  COMPACT_SIZE,
  EROFS_BLKSIZ,
  EROFS_BLOCK_MAP_ENTRY_SIZE,
  EROFS_INODE_CHUNK_BASED,
  EROFS_INODE_FLAT_INLINE,
  EROFS_NULL_ADDR,
  EROFS_SLOTSIZE,
  EXTENDED_SIZE,
} from "./on-disk.ts";

/**
 * Where everything lies:
 *
 *     block 0: superblock | inodes with xattrs, chunk maps and inline data | shared xattrs | data blocks
 *
 * The parts begin at block boundaries. `meta_blkaddr` is 0, so an inode's nid is its offset in the image / 32.
 */
export interface ImageLayout {
  /** The time of all compact inodes. */
  readonly buildTime: Timestamp;
  /** End of the last inode's bytes. */
  readonly metadataEnd: number;
  readonly sharedXattrBlock: number;
  readonly dataBlock: number;
  /** Blocks of the whole image. */
  readonly blocks: number;
  readonly hasChunks: boolean;
}

/** The root comes first, right behind the superblock's block: its nid has only 16 bits. */
const firstInodeOffset: number = EROFS_BLKSIZ;

/** Block addresses have 32 bits, and the last of them means "none". */
export const maxImageLength: number = EROFS_NULL_ADDR * EROFS_BLKSIZ;

/** Decides the form of every inode and gives it its place; fills in the records. */
export function planLayout(
  records: readonly InodeRecord[],
  { sharedXattrSize, maxLength }: { sharedXattrSize: number; maxLength: number },
): ImageLayout {
  const buildTime = mostFrequentTime(records);
  let metadataEnd = firstInodeOffset;
  let hasChunks = false;
  for (const record of records) {
    planInodeForm(record, buildTime);
    hasChunks ||= record.chunks !== undefined;
    metadataEnd = placeInode(record, metadataEnd);
    checkLength(record, { length: metadataEnd, maxLength });
  }
  const sharedXattrBlock = blocksFor(metadataEnd);
  const dataBlock = sharedXattrBlock + blocksFor(sharedXattrSize);
  let blocks = dataBlock;
  for (const record of records) {
    blocks = placeData(record, blocks);
    checkLength(record, { length: blocks * EROFS_BLKSIZ, maxLength });
  }
  return { buildTime, metadataEnd, sharedXattrBlock, dataBlock, blocks, hasChunks };
}

/** Bytes of a node's content as the inode's i_size says. */
export function contentSize({ node, directory }: InodeRecord): number {
  if (directory !== undefined) return directory.size;
  if (node.type === "file") return node.size;
  return node.type === "symlink" ? node.target.length : 0;
}

/**
 * The time that saves most: compact inodes have none of their own and show the superblock's. Images are often built
 * with few different times. Of equally frequent ones it is the first in the order of the inodes, which the tree fixes.
 */
function mostFrequentTime(records: readonly InodeRecord[]): Timestamp {
  const counts = new Map<string, { time: Timestamp; count: number }>();
  for (const record of records) {
    if (needsExtended(record)) continue;
    const time = record.node.mtime;
    const key = `${time.seconds}.${time.nanoseconds}`;
    const entry = counts.get(key);
    if (entry === undefined) counts.set(key, { time, count: 1 });
    else entry.count++;
  }
  let best: { time: Timestamp; count: number } = { time: { seconds: 0, nanoseconds: 0 }, count: 0 };
  for (const entry of counts.values()) if (entry.count > best.count) best = entry;
  return best.time;
}

function planInodeForm(record: InodeRecord, buildTime: Timestamp): void {
  const { node } = record;
  const sameTime =
    node.mtime.seconds === buildTime.seconds && node.mtime.nanoseconds === buildTime.nanoseconds;
  record.inodeSize = sameTime && !needsExtended(record) ? COMPACT_SIZE : EXTENDED_SIZE;
  if (node.type === "file") record.chunks = planChunks(node);
  if (record.chunks !== undefined) record.layout = EROFS_INODE_CHUNK_BASED;
  else {
    record.inlineLength = inlineLength(record);
    if (record.inlineLength > 0) record.layout = EROFS_INODE_FLAT_INLINE;
  }
}

/** True when a field does not fit into the compact inode, whatever its time. */
function needsExtended(record: InodeRecord): boolean {
  const { uid, gid } = record.node;
  return uid > 0xffff || gid > 0xffff || record.links > 0xffff || contentSize(record) > 0xffff_ffff;
}

/**
 * How many bytes to put behind the inode. Linux wants inline data in one block and, before 6.x, a symlink's in the
 * inode's own block, so inode, xattrs and data together must fit into one.
 *
 * Directories and symlinks keep their last, partial block there. A regular file goes there only as a whole: Linux
 * does not map a file by DAX when its tail is inline, and files of any size are worth more directly mapped than
 * half a block is.
 */
function inlineLength(record: InodeRecord): number {
  const size = contentSize(record);
  if (record.node.type === "file" && size >= EROFS_BLKSIZ) return 0;
  const tail = size % EROFS_BLKSIZ;
  return record.inodeSize + (record.xattrs?.size ?? 0) + tail <= EROFS_BLKSIZ ? tail : 0;
}

/** Gives the inode the next fitting slot; returns the end of its bytes. */
function placeInode(record: InodeRecord, end: number): number {
  // Only these bytes have to be in one block; a chunk map and xattrs may go over its end.
  const together =
    record.inlineLength > 0
      ? record.inodeSize + (record.xattrs?.size ?? 0) + record.inlineLength
      : record.inodeSize;
  let offset = Math.ceil(end / EROFS_SLOTSIZE) * EROFS_SLOTSIZE;
  if ((offset % EROFS_BLKSIZ) + together > EROFS_BLKSIZ)
    offset = Math.ceil(offset / EROFS_BLKSIZ) * EROFS_BLKSIZ;
  record.offset = offset;
  const mapSize = (record.chunks?.chunkCount ?? 0) * EROFS_BLOCK_MAP_ENTRY_SIZE;
  return offset + record.inodeSize + (record.xattrs?.size ?? 0) + record.inlineLength + mapSize;
}

/** Gives the content that is not inline its blocks; returns the next free one. */
function placeData(record: InodeRecord, nextBlock: number): number {
  const blocks = record.chunks?.blocks ?? blocksFor(contentSize(record) - record.inlineLength);
  if (blocks === 0) return nextBlock;
  record.firstBlock = nextBlock;
  return nextBlock + blocks;
}

function checkLength(
  record: InodeRecord,
  { length, maxLength }: { length: number; maxLength: number },
): void {
  if (length > maxLength)
    throw tooLarge(record, `the image would take ${length} bytes with it, at most ${maxLength} are allowed`);
}

function blocksFor(length: number): number {
  return Math.ceil(length / EROFS_BLKSIZ);
}
