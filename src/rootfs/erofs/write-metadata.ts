import type { Timestamp } from "../tree.ts";
import { blocksOfRun, chunkRuns } from "./chunk-plan.ts";
import { crc32c } from "./crc32c.ts";
import { writeDirectoryBlock } from "./directory-plan.ts";
import type { ImageWriter } from "./image-writer.ts";
import type { InodeRecord } from "./inode-record.ts";
import {
  COMPACT,
  COMPACT_SIZE,
  EROFS_BLKSIZ,
  EROFS_BLKSIZ_BITS,
  EROFS_BLOCK_MAP_ENTRY_SIZE,
  EROFS_FEATURE_COMPAT_MTIME,
  EROFS_FEATURE_COMPAT_SB_CHKSUM,
  EROFS_FEATURE_INCOMPAT_CHUNKED_FILE,
  EROFS_I_DATALAYOUT_BIT,
  EROFS_INODE_LAYOUT_COMPACT,
  EROFS_INODE_LAYOUT_EXTENDED,
  EROFS_NULL_ADDR,
  EROFS_SLOTSIZE,
  EROFS_SUPER_MAGIC_V1,
  EROFS_SUPER_OFFSET,
  EXTENDED,
  EXTENDED_SIZE,
  fileTypes,
  SUPER,
  XATTR_IBODY_SIZE,
} from "./on-disk.ts";
import { contentSize, type ImageLayout } from "./plan-layout.ts";
import { writeContent } from "./write-content.ts";
import { writeInodeXattrs } from "./xattr-plan.ts";

export interface SuperblockValues {
  readonly layout: ImageLayout;
  readonly rootOffset: number;
  readonly inodeCount: number;
  readonly sharedXattrSize: number;
  readonly uuid: Uint8Array;
}

/** The bytes of the first block. */
export function makeSuperblock(values: SuperblockValues): Uint8Array {
  const { layout } = values;
  const block = new Uint8Array(EROFS_BLKSIZ);
  const checked = block.subarray(EROFS_SUPER_OFFSET);
  const view = new DataView(block.buffer, EROFS_SUPER_OFFSET);
  view.setUint32(SUPER.magic, EROFS_SUPER_MAGIC_V1, true);
  view.setUint32(SUPER.feature_compat, EROFS_FEATURE_COMPAT_SB_CHKSUM | EROFS_FEATURE_COMPAT_MTIME, true);
  view.setUint8(SUPER.blkszbits, EROFS_BLKSIZ_BITS);
  view.setUint16(SUPER.root_nid, values.rootOffset / EROFS_SLOTSIZE, true);
  setUint64(view, SUPER.inos, values.inodeCount);
  setTime(view, SUPER.build_time, layout.buildTime);
  view.setUint32(SUPER.blocks, layout.blocks, true);
  view.setUint32(SUPER.xattr_blkaddr, values.sharedXattrSize > 0 ? layout.sharedXattrBlock : 0, true);
  checked.set(values.uuid, SUPER.uuid);
  view.setUint32(SUPER.feature_incompat, layout.hasChunks ? EROFS_FEATURE_INCOMPAT_CHUNKED_FILE : 0, true);
  view.setUint32(SUPER.checksum, crc32c(0xffff_ffff, checked), true);
  return block;
}

/** Writes an inode with all that follows it: xattrs, and inline data or the chunk map. */
export function writeInode(record: InodeRecord, { number, out }: { number: number; out: ImageWriter }): void {
  out.advanceTo(record.offset);
  if (record.inodeSize === COMPACT_SIZE) writeCompact(record, { number, out });
  else writeExtended(record, { number, out });
  if (record.xattrs !== undefined) writeInodeXattrs(record.xattrs, out);
  if (record.chunks !== undefined) writeChunkMap(record, out);
  else if (record.inlineLength > 0) writeInlineData(record, out);
}

interface InodeOutput {
  readonly number: number;
  readonly out: ImageWriter;
}

function writeCompact(record: InodeRecord, { number, out }: InodeOutput): void {
  const at = out.claim(COMPACT_SIZE);
  const { node } = record;
  const { view } = out;
  view.setUint16(at + COMPACT.i_format, inodeFormat(record, EROFS_INODE_LAYOUT_COMPACT), true);
  view.setUint16(at + COMPACT.i_xattr_icount, xattrCount(record), true);
  view.setUint16(at + COMPACT.i_mode, fileTypes[node.type].mode | node.mode, true);
  view.setUint16(at + COMPACT.i_nlink, record.links, true);
  view.setUint32(at + COMPACT.i_size, contentSize(record), true);
  view.setUint32(at + COMPACT.i_u, inodeUnion(record), true);
  view.setUint32(at + COMPACT.i_ino, number, true);
  view.setUint16(at + COMPACT.i_uid, node.uid, true);
  view.setUint16(at + COMPACT.i_gid, node.gid, true);
}

function writeExtended(record: InodeRecord, { number, out }: InodeOutput): void {
  const at = out.claim(EXTENDED_SIZE);
  const { node } = record;
  const { view } = out;
  view.setUint16(at + EXTENDED.i_format, inodeFormat(record, EROFS_INODE_LAYOUT_EXTENDED), true);
  view.setUint16(at + EXTENDED.i_xattr_icount, xattrCount(record), true);
  view.setUint16(at + EXTENDED.i_mode, fileTypes[node.type].mode | node.mode, true);
  setUint64(view, at + EXTENDED.i_size, contentSize(record));
  view.setUint32(at + EXTENDED.i_u, inodeUnion(record), true);
  view.setUint32(at + EXTENDED.i_ino, number, true);
  view.setUint32(at + EXTENDED.i_uid, node.uid, true);
  view.setUint32(at + EXTENDED.i_gid, node.gid, true);
  setTime(view, at + EXTENDED.i_mtime, node.mtime);
  view.setUint32(at + EXTENDED.i_nlink, record.links, true);
}

function inodeFormat(record: InodeRecord, version: number): number {
  return version | (record.layout << EROFS_I_DATALAYOUT_BIT);
}

/** i_xattr_icount: 0 for none, else 1 for the header and 1 for each 4 bytes behind it. */
function xattrCount({ xattrs }: InodeRecord): number {
  return xattrs === undefined ? 0 : 1 + (xattrs.size - XATTR_IBODY_SIZE) / 4;
}

/** The field whose meaning depends on the inode: first block, device number or chunk format. */
function inodeUnion({ node, chunks, firstBlock }: InodeRecord): number {
  if (chunks !== undefined) return chunks.chunkBits - EROFS_BLKSIZ_BITS;
  if (node.type === "character-device" || node.type === "block-device")
    return encodeDevice(node.major, node.minor);
  return node.type === "fifo" || node.type === "socket" ? 0 : firstBlock;
}

/** Linux's `new_encode_dev`: the low 8 bits of minor, 12 of major, the upper 12 of minor. */
function encodeDevice(major: number, minor: number): number {
  return ((minor & 0xff) | (major << 8) | ((minor >>> 8) << 20)) >>> 0;
}

/** One block address per chunk; the chunks with data lie one after another. */
function writeChunkMap(record: InodeRecord, out: ImageWriter): void {
  const { node, chunks } = record;
  if (node.type !== "file" || chunks === undefined) return;
  const chunkBlocks = 2 ** (chunks.chunkBits - EROFS_BLKSIZ_BITS);
  let block = record.firstBlock;
  let next = 0;
  for (const run of chunkRuns(node.extents, chunks.chunkBits)) {
    for (; next < run.first; next++) writeBlockAddress(EROFS_NULL_ADDR, out);
    for (; next < run.end; next++) writeBlockAddress(block + (next - run.first) * chunkBlocks, out);
    block += blocksOfRun(run, { size: node.size, chunkBits: chunks.chunkBits });
  }
  for (; next < chunks.chunkCount; next++) writeBlockAddress(EROFS_NULL_ADDR, out);
}

function writeBlockAddress(block: number, out: ImageWriter): void {
  out.view.setUint32(out.claim(EROFS_BLOCK_MAP_ENTRY_SIZE), block, true);
}

function writeInlineData(record: InodeRecord, out: ImageWriter): void {
  const { directory } = record;
  if (directory !== undefined) writeDirectoryBlock(directory, directory.blockStarts.length - 2, out);
  else writeContent(record, out);
}

function setTime(view: DataView, at: number, { seconds, nanoseconds }: Timestamp): void {
  setUint64(view, at, seconds);
  view.setUint32(at + 8, nanoseconds, true);
}

/** Also for negative numbers, as two's complement. */
function setUint64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value, true);
  view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true);
}
