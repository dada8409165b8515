import type { Brand } from "../abi/brand.ts";

/** A host-virtual address of this process. Only `sys/` and the backends see one. */
export type Hva = Brand<bigint, "Hva">;

/** Mints an `Hva` from what the kernel returned, or from what another thread of this process passed on as data. */
export function hva(value: number | bigint): Hva {
  return BigInt(value) as Hva;
}
