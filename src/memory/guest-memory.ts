import type { Gpa } from "./address.ts";

/** One contiguous piece of guest-physical memory. */
export interface MemoryRegion {
  readonly start: Gpa;
  readonly length: number;
  /** The host may not write it either: an image file, mapped for reading. */
  readonly readOnly: boolean;
}

/**
 * Guest memory as devices see it; who backs it is not their business. All values are little endian. The guest may
 * change anything at any moment, so what was checked must be the copy that was read. Every method throws
 * `GuestFault` when any byte lies outside the memory, or is to be written and lies in a read-only region.
 */
export interface GuestMemory {
  /** In address order, never overlapping. */
  readonly regions: readonly MemoryRegion[];
  /** Whether every byte of the range is memory (and may be written, if `writable` is asked for). */
  covers(at: Gpa, length: number, options?: { readonly writable?: boolean }): boolean;
  /**
   * Live bytes of one writable region, at most 1 GiB. Not to be kept beyond the call that asked for them: regions can be
   * removed, and what is written later is not known to have been written (`Vm.logDirty`).
   */
  view(at: Gpa, length: number): Uint8Array;
  /** The same of a range that may cross adjoining regions, or be longer; to be written only if `writable` was asked for. */
  slices(at: Gpa, length: number, options?: { readonly writable?: boolean }): Uint8Array[];
  /** To be called for memory that changes otherwise than through this interface: pages given back to the host. */
  changed(at: Gpa, length: number): void;
  /** Copies out; may cross adjoining regions. */
  read(at: Gpa, into: Uint8Array): void;
  /** Copies in; may cross adjoining regions. Nothing is written when any of it does not fit. */
  write(at: Gpa, bytes: Uint8Array): void;
  u16(at: Gpa): number;
  u32(at: Gpa): number;
  /** A 64-bit guest-physical address that the guest wrote; more than 52 bits is a fault. */
  address64(at: Gpa): Gpa;
  setU16(at: Gpa, value: number): void;
  setU32(at: Gpa, value: number): void;
  /**
   * Reads a ring index; nothing read afterwards can be older. Slower than `u16`, so for ring indices only. An odd
   * address is a fault.
   */
  loadAcquire16(at: Gpa): number;
  /** Writes a ring index after everything written before it; an odd address is a fault. */
  storeRelease16(at: Gpa, value: number): void;
}
