import type { ByteSink, ByteString, DirectoryNode } from "../tree.ts";
import { collectInodes } from "./collect-inodes.ts";
import { Fingerprint } from "./fingerprint.ts";
import { ImageWriter } from "./image-writer.ts";
import type { InodeRecord } from "./inode-record.ts";
import { EROFS_BLKSIZ, EROFS_NULL_ADDR } from "./on-disk.ts";
import { contentSize, type ImageLayout, maxImageLength, planLayout } from "./plan-layout.ts";
import { writeDataBlocks } from "./write-content.ts";
import { makeSuperblock, writeInode } from "./write-metadata.ts";
import { planXattrs, writeSharedXattrs } from "./xattr-plan.ts";

export interface ErofsOptions {
  /**
   * 16 bytes that name the image, for example the beginning of a digest of its layers. Without it the UUID is a hash
   * of the tree's metadata (names, sizes, owners, times, attributes), not of file contents.
   */
  readonly uuid?: Uint8Array;
  /**
   * Greatest length of the image in bytes, its holes included; by default what the format can address, 16 TiB.
   * A small archive may ask for an image of any size, so whoever knows what the machine can bear should say it.
   */
  readonly maxLength?: number;
  /** Called about once per MiB: image bytes dealt with so far, and the length the image will have. */
  readonly onProgress?: (done: number, total: number) => void;
}

export interface ErofsSummary {
  /** Length of the image in bytes, a multiple of 4096. Parts that were not written to the sink are zeros. */
  readonly length: number;
  readonly inodeCount: number;
  /** 16 bytes, as in the superblock. */
  readonly uuid: Uint8Array;
  /** Attribute names outside the namespaces that Linux knows; no Linux file system holds them, they are left out. */
  readonly unsupportedXattrs: readonly ByteString[];
}

/**
 * Writes a file tree as an EROFS image: uncompressed, 4 KiB blocks, for Linux 5.15 and later.
 *
 * The same tree gives the same bytes. File data lies at multiples of 4 KiB and is never packed with metadata when it
 * has a block or more, so that Linux can map it by DAX; holes of 64 KiB and more take no space. Memory is needed for
 * the tree's metadata and one buffer; sources are read once, in the order in which the data lies in the image.
 *
 * Fails with `ROOTFS_LIMIT`, naming the path, for what the format or Linux has no room for, and before anything is
 * written.
 *
 * @example
 * ```ts
 * import { writeErofs } from "../erofs/write-erofs.ts";
 *
 * const pieces: Uint8Array[] = [];
 * const root: DirectoryNode = {
 *   type: "directory", entries: new Map(), mode: 0o755, uid: 0, gid: 0,
 *   mtime: { seconds: 0, nanoseconds: 0 }, xattrs: new Map(),
 * };
 * const { length } = writeErofs(root, { write: (_position, bytes) => pieces.push(bytes.slice()) });
 * ```
 */
export function writeErofs(root: DirectoryNode, sink: ByteSink, options: ErofsOptions = {}): ErofsSummary {
  if (options.uuid !== undefined && options.uuid.length !== 16)
    throw new RangeError(`A UUID has 16 bytes, not ${options.uuid.length}`);
  const records = collectInodes(root);
  const sharedXattrs = planXattrs(records);
  const layout = planLayout(records, {
    sharedXattrSize: sharedXattrs.size,
    maxLength: Math.min(options.maxLength ?? maxImageLength, maxImageLength),
  });
  const uuid = options.uuid ?? fingerprintOf(records, layout);
  const length = layout.blocks * EROFS_BLKSIZ;

  const { onProgress } = options;
  const out = new ImageWriter(sink, onProgress && ((position) => onProgress(position, length)));
  out.set(
    out.claim(EROFS_BLKSIZ),
    makeSuperblock({
      layout,
      rootOffset: records[0]?.offset ?? 0,
      inodeCount: records.length,
      sharedXattrSize: sharedXattrs.size,
      uuid,
    }),
  );
  records.forEach((record, index) => {
    writeInode(record, { number: index + 1, out });
  });
  out.advanceTo(layout.sharedXattrBlock * EROFS_BLKSIZ);
  writeSharedXattrs(sharedXattrs, out);
  for (const record of records) if (record.firstBlock !== EROFS_NULL_ADDR) writeDataBlocks(record, out);
  out.finish(length);
  return {
    length,
    inodeCount: records.length,
    uuid,
    unsupportedXattrs: [...sharedXattrs.unsupportedNames],
  };
}

function fingerprintOf(records: readonly InodeRecord[], layout: ImageLayout): Uint8Array {
  const hash = new Fingerprint();
  hash.addNumber(layout.blocks);
  for (const record of records) {
    const { node } = record;
    for (const value of [record.offset, record.firstBlock, record.links, contentSize(record)])
      hash.addNumber(value);
    for (const value of [node.mode, node.uid, node.gid, node.mtime.seconds, node.mtime.nanoseconds])
      hash.addNumber(value);
    hash.addText(node.type);
    if (node.type === "symlink") hash.addText(node.target);
    if (node.type === "character-device" || node.type === "block-device") {
      hash.addNumber(node.major);
      hash.addNumber(node.minor);
    }
    for (const name of record.directory?.names ?? []) hash.addText(name);
    for (const { index, suffix, value } of record.xattrs?.entries ?? []) {
      hash.addNumber(index);
      hash.addText(suffix);
      hash.addBytes(value);
    }
  }
  return hash.uuid();
}
