import type { CpuProfile, EntryState } from "../../arch/cpu.ts";
import type { VcpuTicket } from "../../hypervisor/vcpu.ts";

/** What a thread is given to run a vCPU: plain data and shared memory. */
export interface VcpuJob {
  readonly ticket: VcpuTicket;
  readonly start: VcpuStart;
  /** The registers of every virtio slot, one after the other. */
  readonly slotRegisters: SharedArrayBuffer;
  readonly slotCount: number;
  readonly serialState: SharedArrayBuffer;
  /** An eventfd that raises the serial port's interrupt. */
  readonly serialInterrupt: number;
  readonly mailbox: SharedArrayBuffer;
  readonly exitCounts: SharedArrayBuffer;
  /** One word, written by the monitor: what the thread is to do. */
  readonly wish: SharedArrayBuffer;
}

/** How a vCPU begins. */
export type VcpuStart =
  /** A cold boot; only the boot processor has an entry, the others wait until the guest wakes them. */
  | { readonly kind: "boot"; readonly profile: CpuProfile; readonly entry: EntryState | undefined }
  /** Where another one was saved; its state is in place. */
  | { readonly kind: "restored" };

/** What a vCPU's thread is to do; not 0 makes it leave the guest, together with a kick. */
export const WISH_RUN = 0;
export const WISH_STOP = 1;
/** From here on up, each pause has a number of its own: one that follows at once is not taken for the one before. */
export const WISH_PAUSE = 2;

/** Why a vCPU's thread ended. */
export type VcpuEnd =
  /** It was told to. */
  | { readonly kind: "stopped" }
  | { readonly kind: "power-off" }
  | { readonly kind: "reset" }
  | { readonly kind: "triple-fault" }
  | { readonly kind: "failed"; readonly detail: string };

/** From a vCPU's thread to the monitor. */
export type VcpuMessage =
  /** Look into the mailbox. */
  | { readonly kind: "ask" }
  | { readonly kind: "console"; readonly bytes: Uint8Array }
  /** Between two instructions of the guest, until the wish changes. */
  | { readonly kind: "paused" }
  | { readonly kind: "end"; readonly end: VcpuEnd };
