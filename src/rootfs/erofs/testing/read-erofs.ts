import type { ByteSource, ByteString, DirectoryNode, Extent, NodeMetadata, TreeNode } from "../../tree.ts";
import { crc32c } from "../crc32c.ts";
import {
  DIRENT,
  DIRENT_SIZE,
  EROFS_BLKSIZ,
  EROFS_BLKSIZ_BITS,
  EROFS_FEATURE_INCOMPAT_CHUNKED_FILE,
  EROFS_INODE_FLAT_INLINE,
  EROFS_INODE_FLAT_PLAIN,
  EROFS_SLOTSIZE,
  EROFS_SUPER_MAGIC_V1,
  EROFS_SUPER_OFFSET,
  fileTypes,
  SUPER,
} from "../on-disk.ts";
import { readChunkExtents } from "./read-chunks.ts";
import { type InodeHead, readInodeHead } from "./read-inode.ts";
import { readXattrs } from "./read-xattrs.ts";

/** Access to an image's bytes, with the superblock's values that are needed everywhere. */
export interface ErofsImage {
  readonly source: ByteSource;
  readonly metadataStart: number;
  readonly xattrStart: number;
  readonly buildTime: { readonly seconds: number; readonly nanoseconds: number };
}

/**
 * Reads an uncompressed image back as a tree, for tests: by our writer or by `mkfs.erofs`. File extents refer to the
 * image. Strict about what the format demands (checksum, order of names, inline data within one block), since it
 * judges the writer; inodes reached by several names are one node.
 */
export function readErofs(source: ByteSource): DirectoryNode {
  const block = readBytes(source, 0, EROFS_BLKSIZ);
  const view = new DataView(block.buffer, EROFS_SUPER_OFFSET);
  demand(view.getUint32(SUPER.magic, true) === EROFS_SUPER_MAGIC_V1, "bad magic number");
  demand(view.getUint8(SUPER.blkszbits) === EROFS_BLKSIZ_BITS, "block size is not 4096");
  const features = view.getUint32(SUPER.feature_incompat, true);
  demand((features & ~EROFS_FEATURE_INCOMPAT_CHUNKED_FILE) === 0, `unknown features ${features}`);
  checkChecksum(block);
  const image: ErofsImage = {
    source,
    metadataStart: view.getUint32(SUPER.meta_blkaddr, true) * EROFS_BLKSIZ,
    xattrStart: view.getUint32(SUPER.xattr_blkaddr, true) * EROFS_BLKSIZ,
    buildTime: {
      seconds: Number(view.getBigInt64(SUPER.build_time, true)),
      nanoseconds: view.getUint32(SUPER.build_time_nsec, true),
    },
  };
  const nodes = new Map<number, TreeNode>();
  const rootNid = view.getUint16(SUPER.root_nid, true);
  const root = readNode(image, { nid: rootNid, parent: rootNid, nodes });
  demand(nodes.size === Number(view.getBigUint64(SUPER.inos, true)), "the inode count is wrong");
  demand(root.type === "directory", "the root is no directory");
  return root as DirectoryNode;
}

interface Place {
  readonly nid: number;
  readonly parent: number;
  readonly nodes: Map<number, TreeNode>;
}

function readNode(image: ErofsImage, { nid, parent, nodes }: Place): TreeNode {
  const known = nodes.get(nid);
  if (known !== undefined) return known;
  const head = readInodeHead(image, image.metadataStart + nid * EROFS_SLOTSIZE);
  const metadata: NodeMetadata = {
    mode: head.mode & 0o7777,
    uid: head.uid,
    gid: head.gid,
    mtime: head.mtime,
    xattrs: readXattrs(image, { start: head.start + head.inodeSize, length: head.xattrSize }),
  };
  if ((head.mode & 0o170000) === fileTypes.directory.mode) {
    const directory: DirectoryNode = { type: "directory", entries: new Map(), ...metadata };
    nodes.set(nid, directory);
    readEntries(image, { head, directory, place: { nid, parent, nodes } });
    return directory;
  }
  const node = { ...metadata, ...typeSpecific(image, head) } as TreeNode;
  nodes.set(nid, node);
  return node;
}

function typeSpecific(image: ErofsImage, head: InodeHead): object {
  const format = head.mode & 0o170000;
  const type = Object.entries(fileTypes).find(([, { mode }]) => mode === format)?.[0];
  switch (type) {
    case "file":
      return { type, size: head.size, extents: extentsOf(image, head) };
    case "symlink":
      return { type, target: latin1(readContent(image, head)) };
    case "character-device":
    case "block-device":
      return {
        type,
        major: (head.union >>> 8) & 0xfff,
        minor: (head.union & 0xff) | ((head.union >>> 20) << 8),
      };
    default:
      demand(type === "fifo" || type === "socket", `unknown mode ${head.mode}`);
      return { type };
  }
}

function readEntries(
  image: ErofsImage,
  { head, directory, place }: { head: InodeHead; directory: DirectoryNode; place: Place },
): void {
  const content = readContent(image, head);
  let previous = "";
  let subdirectories = 0;
  const dots: ByteString[] = [];
  for (let start = 0; start < content.length; start += EROFS_BLKSIZ)
    for (const { name, nid, fileType } of blockEntries(content.subarray(start, start + EROFS_BLKSIZ))) {
      demand(previous < name, `${JSON.stringify(name)} comes after ${JSON.stringify(previous)}`);
      previous = name;
      if (name === "." || name === "..") {
        demand(nid === (name === "." ? place.nid : place.parent), `${name} leads to inode ${nid}`);
        dots.push(name);
        continue;
      }
      const node = readNode(image, { nid, parent: place.nid, nodes: place.nodes });
      demand(fileTypes[node.type].ft === fileType, `${JSON.stringify(name)} has file type ${fileType}`);
      if (node.type === "directory") subdirectories++;
      directory.entries.set(name, node);
    }
  demand(dots.join() === ".,..", "a directory lacks . or ..");
  demand(head.links === 2 + subdirectories, `a directory has ${head.links} links`);
}

function* blockEntries(block: Uint8Array): Generator<{ name: ByteString; nid: number; fileType: number }> {
  const view = new DataView(block.buffer, block.byteOffset, block.length);
  const count = view.getUint16(DIRENT.nameoff, true) / DIRENT_SIZE;
  demand(Number.isInteger(count) && count > 0, "a directory block has a bad first name offset");
  for (let index = 0; index < count; index++) {
    const at = index * DIRENT_SIZE;
    const nameStart = view.getUint16(at + DIRENT.nameoff, true);
    const nameEnd =
      index + 1 < count
        ? view.getUint16(at + DIRENT_SIZE + DIRENT.nameoff, true)
        : lastNameEnd(block, nameStart);
    demand(nameStart < nameEnd && nameEnd <= block.length, "a directory entry has no name");
    yield {
      name: latin1(block.subarray(nameStart, nameEnd)),
      nid: Number(view.getBigUint64(at + DIRENT.nid, true)),
      fileType: view.getUint8(at + DIRENT.file_type),
    };
  }
}

function lastNameEnd(block: Uint8Array, start: number): number {
  const end = block.indexOf(0, start);
  return end < 0 ? block.length : end;
}

function extentsOf(image: ErofsImage, head: InodeHead): Extent[] {
  const { source } = image;
  const { size } = head;
  const behindXattrs = head.start + head.inodeSize + head.xattrSize;
  if (head.layout !== EROFS_INODE_FLAT_PLAIN && head.layout !== EROFS_INODE_FLAT_INLINE)
    return readChunkExtents(image, { format: head.union, mapStart: behindXattrs, size });
  const tail = head.layout === EROFS_INODE_FLAT_INLINE ? size % EROFS_BLKSIZ : 0;
  const extents: Extent[] = [];
  if (size > tail)
    extents.push({ offset: 0, length: size - tail, source, position: head.union * EROFS_BLKSIZ });
  if (tail === 0) return extents;
  demand((behindXattrs % EROFS_BLKSIZ) + tail <= EROFS_BLKSIZ, "inline data crosses a block boundary");
  extents.push({ offset: size - tail, length: tail, source, position: behindXattrs });
  return extents;
}

function readContent(image: ErofsImage, head: InodeHead): Uint8Array {
  const content = new Uint8Array(head.size);
  for (const { offset, length, source, position } of extentsOf(image, head))
    source.read(position, content.subarray(offset, offset + length));
  return content;
}

function checkChecksum(block: Uint8Array): void {
  const checked = block.slice(EROFS_SUPER_OFFSET);
  const view = new DataView(checked.buffer);
  const stored = view.getUint32(SUPER.checksum, true);
  view.setUint32(SUPER.checksum, 0, true);
  demand(stored === crc32c(0xffff_ffff, checked), "the superblock's checksum is wrong");
}

export function readBytes(source: ByteSource, position: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  source.read(position, bytes);
  return bytes;
}

export function demand(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Error(`Bad EROFS image: ${otherwise}`);
}

export function latin1(bytes: Uint8Array): ByteString {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}
