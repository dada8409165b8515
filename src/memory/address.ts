import type { Brand } from "../abi/brand.ts";

/** A guest-physical address: an exact integer of at most 52 bits, which is all that x86-64 and arm64 can have. */
export type Gpa = Brand<number, "Gpa">;

/** One more than the highest guest-physical address. */
export const addressSpaceEnd: number = 2 ** 52;

/** Mints a `Gpa` from a number of our own making; a number from the guest goes through `GuestMemory.address64`. */
export function gpa(value: number): Gpa {
  if (!Number.isInteger(value) || value < 0 || value >= addressSpaceEnd)
    throw new RangeError(`A guest-physical address is an integer below 2^52, not ${value}`);
  return value as Gpa;
}
