/**
 * The merged file tree of an image: what the layer reader produces and the EROFS writer consumes.
 */
import type { ByteString, Extent, Timestamp } from "../tar/byte-source.ts";

export type { ByteSource, ByteString, Extent, Timestamp } from "../tar/byte-source.ts";

/** What every node has. One object per inode: two directory entries that are hard links hold the same object. */
export interface NodeMetadata {
  /** Permission, set-id and sticky bits: 0 to 0o7777. */
  mode: number;
  /** 0 to 2^32-1. */
  uid: number;
  gid: number;
  mtime: Timestamp;
  /** Full names ("user.x", "security.capability"). */
  xattrs: ReadonlyMap<ByteString, Uint8Array>;
}

export interface DirectoryNode extends NodeMetadata {
  readonly type: "directory";
  readonly entries: Map<ByteString, TreeNode>;
}

export interface FileNode extends NodeMetadata {
  readonly type: "file";
  /** Logical length in bytes; may exceed 4 GiB. */
  readonly size: number;
  /** Where the bytes are: ascending, not overlapping, inside `size`. Gaps are holes and read as zeros. */
  readonly extents: readonly Extent[];
}

export interface SymlinkNode extends NodeMetadata {
  readonly type: "symlink";
  readonly target: ByteString;
}

export interface DeviceNode extends NodeMetadata {
  readonly type: "character-device" | "block-device";
  readonly major: number;
  readonly minor: number;
}

export interface PipeNode extends NodeMetadata {
  readonly type: "fifo" | "socket";
}

export type TreeNode = DirectoryNode | FileNode | SymlinkNode | DeviceNode | PipeNode;

/** Receives bytes at increasing positions; a skipped range reads as zeros. */
export interface ByteSink {
  write(position: number, bytes: Uint8Array): void;
}
