import type { Brand } from "./brand.ts";

/** An open file descriptor of this process. Plain data: it may cross threads, but only its owner closes it. */
export type Fd = Brand<number, "Fd">;

/** Mints an `Fd` from a number that the kernel returned, or that another thread of this process passed on. */
export function fd(value: number): Fd {
  if (!Number.isInteger(value) || value < 0 || value > 0x7fff_ffff)
    throw new RangeError(`A file descriptor is a non-negative 32-bit integer, not ${value}`);
  return value as Fd;
}
