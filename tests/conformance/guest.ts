import type { TestContext } from "node:test";
import { Worker } from "node:worker_threads";
import type { EntryState } from "../../src/arch/cpu.ts";
import { bareLongMode, writeIdentityTables } from "../../src/arch/x64/bare-long-mode.ts";
import type { Hypervisor } from "../../src/hypervisor/hypervisor.ts";
import { KvmHypervisor } from "../../src/hypervisor/kvm/device.ts";
import type { Vcpu, VcpuTicket } from "../../src/hypervisor/vcpu.ts";
import type { MemorySlot, Vm } from "../../src/hypervisor/vm.ts";
import { DisposalStack } from "../../src/lifetime/disposal-stack.ts";
import { gpa } from "../../src/memory/address.ts";
import { Mapping } from "../../src/sys/linux/mapping.ts";

/** Where things are in a test guest: 64 KiB of memory at 0. */
export const tablesAt = 0x1000;
export const codeAt = 0x4000;
export const dataAt = 0x6000;
export const stackAt = 0xf000;
/** Mapped by the page tables, but no memory there. */
export const deviceAt = 0x45_0000;
/** In long mode the last 2 MiB below 1 GiB show whatever `highPage` names. */
export const highPageAt = 0x3fe0_0000;

export interface GuestOptions {
  readonly code: readonly number[];
  readonly mode: "real" | "long";
  readonly registers?: EntryState["registers"];
  readonly kernelIrqChip?: boolean;
  readonly vcpus?: number;
  /** Guest-physical address, a multiple of 2 MiB. */
  readonly highPage?: number;
}

export interface Guest {
  readonly hypervisor: Hypervisor;
  readonly vm: Vm;
  readonly tickets: readonly VcpuTicket[];
  readonly entry: EntryState;
  /** The memory at 0. */
  readonly bytes: Uint8Array;
  /** vCPU 0, configured, on this thread. */
  vcpu(): Vcpu;
  /** Allocates memory that goes away after the guest. */
  allocate(length: number): Mapping;
  readonly slot: MemorySlot;
  /** Called (and awaited) after the test, while the VM is still there. */
  beforeRelease(step: () => Promise<void>): void;
}

/** The reason why hypervisor tests cannot run here, or false. A KVM that only answers is good enough for them. */
export const skip: string | false = reasonToSkip();

function reasonToSkip(): string | false {
  try {
    new KvmHypervisor().createVm()[Symbol.dispose]();
    return false;
  } catch (error) {
    return `no KVM here: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** A machine with 64 KiB of memory and a few instructions in it; everything is released after the test. */
export function openGuest(t: TestContext, options: GuestOptions): Guest {
  const { code, mode, registers = {}, kernelIrqChip = false, vcpus = 1, highPage } = options;
  const owned = new DisposalStack();
  const stops: (() => Promise<void>)[] = [];
  t.after(async () => {
    await Promise.all(stops.map((stop) => stop()));
    owned[Symbol.dispose]();
  });
  const hypervisor = new KvmHypervisor();
  const allocated: Mapping[] = [];
  owned.defer(() => {
    for (const mapping of allocated) mapping[Symbol.dispose]();
  });
  const allocate = (length: number): Mapping => {
    const mapping = Mapping.anonymous(length);
    allocated.push(mapping);
    return mapping;
  };
  const memory = allocate(0x1_0000);
  const vm = owned.use(hypervisor.createVm({ kernelIrqChip }));
  const slot = vm.addMemory(gpa(0), memory);
  const bytes = vm.memory.view(gpa(0), 0x1_0000);
  bytes.set(code, codeAt);
  writeIdentityTables(bytes.subarray(tablesAt), tablesAt);
  if (highPage !== undefined) {
    const lastEntry = tablesAt + 0x2000 + 511 * 8;
    new DataView(bytes.buffer).setBigUint64(lastEntry, BigInt(highPage) | 0x83n, true);
  }
  const common = { rip: BigInt(codeAt), rsp: BigInt(stackAt), rflags: 2n, ...registers };
  const entry: EntryState =
    mode === "long" ? { ...bareLongMode(tablesAt), registers: common } : { ...realMode, registers: common };
  const tickets = Array.from({ length: vcpus }, (_, index) => vm.createVcpu(index));
  return {
    hypervisor,
    vm,
    tickets,
    entry,
    bytes,
    allocate,
    slot,
    beforeRelease: (step) => stops.push(step),
    vcpu: () => {
      const vcpu = owned.use(hypervisor.openVcpu(ticketOf(tickets, 0)));
      vcpu.configure({ index: 0, count: vcpus }, entry);
      return vcpu;
    },
  };
}

const realMode = {
  segments: { cs: { selector: 0, base: 0n, limit: 0xffff, type: 0xb } },
};

/** What a vCPU thread reports: a copy of each exit, and its thread id first. */
export interface ReportedExit {
  readonly kind: string;
  readonly port?: number;
  readonly address?: number;
  readonly data?: Uint8Array;
  readonly detail?: string;
}

export interface RunningVcpu {
  /** The next exit of this kind; others are dropped. Rejects after 45 s. */
  next(kind: string): Promise<ReportedExit>;
  /** Everything reported and not yet taken. */
  readonly exits: readonly ReportedExit[];
  /** Kicks the vCPU until its thread has ended. */
  stop(): Promise<void>;
}

/** Runs a vCPU on a thread of its own until `stop`, or an exit after which it cannot go on. */
export function startVcpu(guest: Guest, { index = 0, waitsForSipi = false } = {}): RunningVcpu {
  const ticket = ticketOf(guest.tickets, index);
  const stopFlag = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL("./vcpu.worker.js", import.meta.url), {
    workerData: {
      ticket,
      stopFlag,
      profile: { index, count: guest.tickets.length },
      entry: waitsForSipi ? undefined : guest.entry,
    },
  });
  const exits: ReportedExit[] = [];
  let ended = false;
  let wake: () => void = () => {};
  worker.on("message", (exit: ReportedExit) => {
    exits.push(exit);
    wake();
  });
  const gone = new Promise<void>((resolve, reject) => {
    worker.on("error", reject);
    worker.on("exit", () => {
      ended = true;
      wake();
      resolve();
    });
  });
  const stop = async (): Promise<void> => {
    Atomics.store(stopFlag, 0, 1);
    while (!ended) {
      guest.vm.kick(index);
      await Promise.race([gone, new Promise((resolve) => setTimeout(resolve, 20))]);
    }
    await gone;
  };
  guest.beforeRelease(stop);
  return {
    exits,
    stop,
    next: async (kind) => {
      const deadline = Date.now() + 45_000;
      for (;;) {
        while (exits.length > 0) {
          const exit = exits.shift();
          if (exit?.kind === kind) return exit;
        }
        if (ended || Date.now() > deadline) throw new Error(`vCPU ${index} did not report '${kind}'`);
        await new Promise<void>((resolve) => {
          wake = resolve;
          setTimeout(resolve, 100);
        });
      }
    },
  };
}

function ticketOf(tickets: readonly VcpuTicket[], index: number): VcpuTicket {
  const ticket = tickets[index];
  if (ticket === undefined) throw new RangeError(`There is no vCPU ${index}`);
  return ticket;
}
