import type { ByteString, Extent, Timestamp } from "./byte-source.ts";

/** One member of a tar archive, with every extension header applied. Nothing is checked against a tree yet. */
export interface TarEntry {
  /** As written in the archive: may be absolute, hold `.` and `..` and end with slashes. */
  readonly path: ByteString;
  readonly type: TarEntryType;
  /** Position of the header in the archive. */
  readonly headerOffset: number;
  /** 0 to 0o7777. */
  readonly mode: number;
  /** 0 to 2^32-1. */
  readonly uid: number;
  readonly gid: number;
  readonly mtime: Timestamp;
  readonly xattrs: ReadonlyMap<ByteString, Uint8Array>;
  /** Of symbolic links and hard links; "" otherwise. */
  readonly linkTarget: ByteString;
  /** Of devices; 0 otherwise. */
  readonly major: number;
  readonly minor: number;
  /** Logical length of files; 0 otherwise. */
  readonly size: number;
  readonly extents: readonly Extent[];
}

export type TarEntryType =
  | "file"
  | "directory"
  | "symlink"
  | "hard-link"
  | "character-device"
  | "block-device"
  | "fifo";
