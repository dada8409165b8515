import type { CpuProfile, EntryState } from "../../arch/cpu.ts";
import type { VcpuTicket } from "../../hypervisor/vcpu.ts";

/** All that a vCPU's thread is given: plain data and shared memory. */
export interface VcpuThreadData {
  readonly ticket: VcpuTicket;
  readonly profile: CpuProfile;
  /** Of the boot processor; the others wait until the guest wakes them. */
  readonly entry: EntryState | undefined;
  /** The registers of every virtio slot, one after the other. */
  readonly slotRegisters: SharedArrayBuffer;
  readonly slotCount: number;
  readonly serialState: SharedArrayBuffer;
  /** An eventfd that raises the serial port's interrupt. */
  readonly serialInterrupt: number;
  readonly mailbox: SharedArrayBuffer;
  readonly exitCounts: SharedArrayBuffer;
  /** One word: not 0 once the thread shall end. */
  readonly stop: SharedArrayBuffer;
}

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
  | { readonly kind: "end"; readonly end: VcpuEnd };
