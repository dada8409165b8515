/** What a backend can do here; asked for by name, never inferred from the operating system. */
export interface Capabilities {
  /** The interrupt controllers live in the kernel, so an interrupt needs no exit. */
  readonly kernelIrqChip: boolean;
  /** A write to a doorbell address signals a file descriptor without leaving the kernel. */
  readonly notifyWithoutExit: boolean;
  /** Pages that are written can be listed, from any moment in a VM's life on. */
  readonly dirtyLog: boolean;
  /** Memory that the guest can read but not write. */
  readonly readOnlyMemory: boolean;
  /** The whole machine state can be saved and restored. */
  readonly snapshot: boolean;
  readonly maxVcpus: number;
  readonly maxMemorySlots: number;
}

/** What a probe found. A value rather than an error: "why can I not run here" is every user's first question. */
export type Support =
  | { readonly usable: true; readonly capabilities: Capabilities }
  | { readonly usable: false; readonly reason: string; readonly remedy: string };
