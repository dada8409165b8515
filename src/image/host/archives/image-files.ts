import type { Origin } from "../../origin.ts";

/** The files of an image on disk, whether they lie in a folder or in a tar archive. Paths have no leading "./". */
export interface ImageFiles extends Disposable {
  readonly origin: Origin;
  /** Length of a regular file; undefined when there is none of that name. */
  size(path: string): number | undefined;
  /**
   * A whole file, undefined when there is none.
   *
   * @throws SupermachineError `ARCHIVE_INVALID` when it is longer than `maximumLength`
   */
  read(path: string, maximumLength: number): Uint8Array | undefined;
  /** The bytes of a file that is there, in pieces. */
  stream(path: string): Iterable<Uint8Array>;
}

/** For `stream`: enough to keep system calls few. */
export const pieceLength: number = 1024 * 1024;
