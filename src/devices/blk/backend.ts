/**
 * What a block device keeps its blocks in. Positions and lengths are in bytes, multiples of 512, and inside `length`.
 * A method that returns no promise is done; a rejection or an exception is an I/O error for the guest.
 */
export interface BlkBackend {
  /** Bytes; what is left of the last sector is not seen. */
  readonly length: number;
  readonly readOnly: boolean;
  /** Up to 20 ASCII characters; the guest finds the disk by it. */
  readonly id: string;
  /** Fills all slices from `position` on. */
  read(position: number, slices: readonly Uint8Array[]): Promise<void> | void;
  /** The slices are the guest's memory: it can change them meanwhile. Never called when `readOnly`. */
  write(position: number, slices: readonly Uint8Array[]): Promise<void> | void;
  /** Makes everything persistent that was written before. */
  flush(): Promise<void> | void;
  /** The range's content does not matter any more. Absent: the guest is not offered it. */
  discard?(position: number, length: number): Promise<void> | void;
  /** Makes the range zeros; `unmap`: its space may be given up. Absent: the guest is not offered it. */
  writeZeroes?(position: number, length: number, options: { readonly unmap: boolean }): Promise<void> | void;
}
