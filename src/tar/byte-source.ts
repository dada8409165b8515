/**
 * Names, link targets and xattr names as archives have them: *byte strings*, JavaScript strings in which every
 * character is one byte (U+0000 to U+00FF). Tar names need not be UTF-8, and comparing such strings compares bytes,
 * which is the order that EROFS directories want.
 */
export type ByteString = string;

/** Modification time; nanoseconds are 0 to 999,999,999, also before 1970. */
export interface Timestamp {
  readonly seconds: number;
  readonly nanoseconds: number;
}

/** Random access to bytes, synchronous: image conversion runs on a thread of its own. */
export interface ByteSource {
  /** Fills all of `into` from `position` on; throws when the source ends before. */
  read(position: number, into: Uint8Array): void;
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
