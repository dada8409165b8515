import type { Fd } from "../abi/fd.ts";
import type { Gpa } from "../memory/address.ts";
import type { GuestMemory } from "../memory/guest-memory.ts";
import type { Capabilities } from "./capabilities.ts";
import type { Gsi, IrqLine } from "./irq-line.ts";
import type { BackendState } from "./state.ts";
import type { VcpuTicket } from "./vcpu.ts";

export interface VmOptions {
  /** Interrupt controllers and timer in the kernel; default true. Without them HLT is an exit. */
  readonly kernelIrqChip?: boolean;
}

/** Memory of this process that can become guest memory. Its owner keeps it alive for as long as a slot shows it. */
export interface HostMemory {
  /** For the backend alone. */
  readonly address: bigint;
  readonly length: number;
  /** Live bytes of `[offset, offset + length)`. */
  bytes(offset: number, length: number): Uint8Array;
}

export interface MemorySlotOptions {
  /** The guest's writes become `mmio-write` exits, and the host may not write it either. */
  readonly readOnly?: boolean;
}

/** Guest-physical memory that is present until this is disposed of, which is allowed while vCPUs run. */
export interface MemorySlot extends Disposable {
  readonly start: Gpa;
  readonly length: number;
  /**
   * Records from now on which pages are written, until the result is disposed of or the slot is; vCPUs may run. Costs
   * the guest an exit, or a note by its processor, for each page that it writes for the first time since the last look.
   * Needs the capability `dirtyLog`. Throws TypeError while there is another log of this slot.
   */
  logDirty(): DirtyLog;
}

/** Which pages of a slot are written, for as long as it is not disposed of. */
export interface DirtyLog extends Disposable {
  /**
   * One bit per 4 KiB page, lowest first: written since the last call, or since the log began, by the guest or through
   * `Vm.memory`. What is written after this was called is for the next one, so a page that is read afterwards is read
   * whole, or named again. May name a page that the guest only looked at. Does not see what the host does to the memory in
   * other ways; `GuestMemory.changed` tells it.
   */
  take(): Uint8Array;
}

export interface DoorbellOptions {
  /** Width of the write in bytes; 0 means any. */
  readonly width: 0 | 1 | 2 | 4 | 8;
  /** Ring only for this value; absent means any. */
  readonly value?: number;
}

/** A guest-physical address whose writes signal a file descriptor instead of causing an exit. */
export interface Doorbell extends Disposable {
  /** An eventfd to wait on. */
  readonly fd: Fd;
  /** Whether it rang since the last call; does not block. */
  take(): boolean;
}

/** One virtual machine. Disposing of it releases its vCPUs, slots, lines and doorbells; no vCPU may be running. */
export interface Vm extends Disposable {
  readonly capabilities: Capabilities;
  /** All slots, as this thread sees them. */
  readonly memory: GuestMemory;
  /** Start and length are multiples of 4 KiB. Throws RangeError on overlap. */
  addMemory(start: Gpa, memory: HostMemory, options?: MemorySlotOptions): MemorySlot;
  /** An input of the kernel's interrupt controller. */
  irqLine(gsi: Gsi): IrqLine;
  doorbell(at: Gpa, options: DoorbellOptions): Doorbell;
  /** Creates vCPU `index`; the ticket is plain data for `Hypervisor.openVcpu` on the thread that will run it. */
  createVcpu(index: number): VcpuTicket;
  /** Makes the vCPU's current or next `run()` return `interrupted` soon. Any number of calls may count as one. */
  kick(index: number): void;
  /**
   * Puts memory that this process has already into the guest's page tables, so that touching it is no exit. A hint: returns
   * false where the backend cannot. No vCPU may be running.
   */
  mapAhead(start: Gpa, length: number): boolean;
  /** No vCPU may be running. */
  save(): BackendState;
  /** The state of a vCPU that is not running, and not inside an access. */
  saveVcpu(index: number): BackendState;
  /**
   * Puts a saved vCPU's state under one that is fresh or not running, after the VM's own. From then on interrupts
   * may be raised. Throws `HYPERVISOR` for a foreign or damaged state.
   */
  restoreVcpu(index: number, state: BackendState): void;
  /** Into a VM with the same slots whose vCPUs do not run, before its vCPUs are restored. Throws `HYPERVISOR` for a foreign state. */
  restore(state: BackendState): void;
}
