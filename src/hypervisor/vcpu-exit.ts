import type { Gpa } from "../memory/address.ts";

/** Why `run()` returned. The data is live: a read is answered by filling it before the next `run()`. */
export type VcpuExit =
  | MmioExit
  | PioExit
  /** HLT, where the interrupt controller is not in the kernel. */
  | { readonly kind: "halt" }
  /** A kick, or a signal that the thread got for another reason: look what is to be done and run again. */
  | { readonly kind: "interrupted" }
  /** The guest asked the hypervisor itself for this. */
  | { readonly kind: "shutdown" | "reset" }
  /** An exception while handling an exception while handling one. Processors reset; the machine decides. */
  | { readonly kind: "triple-fault" }
  /** The guest cannot go on: the hypervisor says why. */
  | { readonly kind: "failed"; readonly detail: string };

export interface MmioExit {
  readonly kind: "mmio-read" | "mmio-write";
  readonly address: Gpa;
  /** 1, 2, 4 or 8 bytes, little endian (other lengths where an access crosses a boundary). */
  readonly data: Uint8Array;
}

export interface PioExit {
  readonly kind: "pio-in" | "pio-out";
  readonly port: number;
  /** Bytes per access: 1, 2 or 4. */
  readonly width: number;
  /** Above 1 for string instructions: accesses to the same port, in order. */
  readonly count: number;
  /** `width * count` bytes, little endian. */
  readonly data: Uint8Array;
}
