/**
 * The merged file tree of an image: what the layer reader produces and the EROFS writer consumes.
 *
 * Names, link targets and xattr names are *byte strings*: JavaScript strings in which every character is one byte
 * (U+0000 to U+00FF). Tar names need not be UTF-8, and comparing such strings compares bytes, which is the order
 * that EROFS directories want.
 */
export type ByteString = string;

/** Modification time; nanoseconds are 0 to 999,999,999, also before 1970. */
export interface Timestamp {
  readonly seconds: number;
  readonly nanoseconds: number;
}

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

/** A run of file bytes that lies in one source. */
export interface Extent {
  /** Offset in the file. */
  readonly offset: number;
  readonly length: number;
  readonly source: ByteSource;
  /** Offset in the source. */
  readonly position: number;
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

/** Random access to bytes, synchronous: image conversion runs on a thread of its own. */
export interface ByteSource {
  /** Fills all of `into` from `position` on; throws when the source ends before. */
  read(position: number, into: Uint8Array): void;
}

/** Receives bytes at increasing positions; a skipped range reads as zeros. */
export interface ByteSink {
  write(position: number, bytes: Uint8Array): void;
}
