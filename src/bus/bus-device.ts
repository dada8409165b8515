/** Something that answers accesses to a range of addresses or ports. It knows offsets, never addresses. */
export interface BusDevice {
  readonly name: string;
  /** Fills all of `into`, which is zeroed: 1, 2, 4 or 8 bytes, little endian. Never throws because of the guest. */
  read(offset: number, into: Uint8Array): void;
  write(offset: number, data: Uint8Array): void;
}
