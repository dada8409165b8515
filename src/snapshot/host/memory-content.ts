import { pageLength } from "../page-map.ts";

/** A memory to be saved. */
export interface MemoryContent {
  /** Bytes; a multiple of 1 MiB. */
  readonly length: number;
  /**
   * The bytes of a range that never crosses a boundary of 1 MiB; regions follow each other without holes, as in the
   * memory file. May be the memory itself rather than a copy.
   */
  view(offset: number, length: number): Uint8Array;
}

/** Memory is walked through in blocks of this length, and a region of a machine's memory is a whole number of them. */
export const blockLength: number = 2 ** 20;

/** The same in pages. */
export const blockPages: number = blockLength / pageLength;

/** A block of them; not to be written. */
export const zeros: Uint8Array = new Uint8Array(blockLength);

/** Whether there are only zeros. One native comparison, which ends at the first byte that is none. */
export function isZero(bytes: Uint8Array): boolean {
  return Buffer.compare(bytes, bytes.length === zeros.length ? zeros : zeros.subarray(0, bytes.length)) === 0;
}
