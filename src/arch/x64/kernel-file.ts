import { SupermachineError } from "../../errors/supermachine-error.ts";
import { gpa } from "../../memory/address.ts";
import type { GuestMemory } from "../../memory/guest-memory.ts";

/** A kernel or initramfs, read piece by piece so that it goes from the file to the guest without a copy between. */
export interface BootFile {
  /** For messages: usually the path. */
  readonly name: string;
  readonly length: number;
  /** Fills all of `into`; the caller stays inside `length`. */
  read(position: number, into: Uint8Array): void;
}

/** A kernel that lies in guest memory. */
export interface LoadedKernel {
  /** Physical address of the 64-bit entry point. */
  readonly entry: number;
  /** First free address after it, including what it will use before it reads the memory map. */
  readonly end: number;
  /** Highest address that the initramfs may occupy. */
  readonly initramfsLimit: number;
  /** The setup header as the file had it, for `boot_params`; absent for vmlinux. */
  readonly setupHeader?: Uint8Array;
}

/** Reads a checked range of the file. */
export function readRange(file: BootFile, position: number, length: number): DataView {
  if (!isInside(file.length, position, length)) throw badKernel(file, "it is cut short");
  const bytes = new Uint8Array(length);
  file.read(position, bytes);
  return new DataView(bytes.buffer);
}

/** Copies a range of the file into the guest; the target is checked before anything is written. */
export function copyToGuest(memory: GuestMemory, file: BootFile, target: CopyTarget): void {
  const { position, address, length } = target;
  if (!memory.covers(gpa(address), length, { writable: true }))
    throw badKernel(file, `${length} bytes at 0x${address.toString(16)} do not fit the machine's memory`);
  let done = 0;
  for (const slice of memory.slices(gpa(address), length, { writable: true })) {
    file.read(position + done, slice);
    done += slice.length;
  }
}

export interface CopyTarget {
  readonly position: number;
  readonly address: number;
  readonly length: number;
}

export function isInside(total: number, position: number, length: number): boolean {
  return Number.isSafeInteger(position) && position >= 0 && length >= 0 && length <= total - position;
}

/** A 64-bit field as a number; anything beyond 2^53 is nonsense in a kernel file and becomes infinity. */
export function readU64(view: DataView, offset: number): number {
  const value = view.getUint32(offset, true) + view.getUint32(offset + 4, true) * 2 ** 32;
  return Number.isSafeInteger(value) ? value : Number.POSITIVE_INFINITY;
}

export function badKernel(file: BootFile, why: string): SupermachineError {
  return new SupermachineError("KERNEL_NOT_FOUND", `Cannot boot '${file.name}': ${why}`, {
    hint: "Give an x86-64 vmlinux or bzImage",
  });
}
