import type { X64EntryState } from "./x64/entry-state.ts";

/** How a vCPU starts, made by the boot protocol of its instruction set and applied by the backend. */
export type EntryState = X64EntryState;

/** What the guest sees of one of its processors. */
export interface CpuProfile {
  /** Of this vCPU: its index, and its APIC id (x64) or affinity (arm64). */
  readonly index: number;
  /** All vCPUs of the machine; they show up as cores of one socket. */
  readonly count: number;
  /** Let the guest run virtual machines itself; default false. */
  readonly nested?: boolean;
}
