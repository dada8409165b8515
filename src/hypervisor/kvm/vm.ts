import type { Fd } from "../../abi/fd.ts";
import {
  KVM_CREATE_VCPU,
  KVM_IOEVENTFD,
  KVM_IOEVENTFD_FLAG_DATAMATCH,
  KVM_IOEVENTFD_FLAG_DEASSIGN,
  KvmIoeventfd,
  KvmRun,
} from "../../abi/kvm.x64.generated.ts";
import { MAP_SHARED, PROT_READ, PROT_WRITE, SIGURG } from "../../abi/linux.x64.generated.ts";
import { DisposalStack } from "../../lifetime/disposal-stack.ts";
import type { Gpa } from "../../memory/address.ts";
import type { GuestMemory } from "../../memory/guest-memory.ts";
import { MappedMemory } from "../../memory/mapped-memory.ts";
import { EventFd } from "../../sys/linux/eventfd.ts";
import { OwnedFd } from "../../sys/linux/file.ts";
import { Mapping } from "../../sys/linux/mapping.ts";
import { signalThread } from "../../sys/linux/thread.ts";
import type { Capabilities } from "../capabilities.ts";
import type { Gsi, IrqLine } from "../irq-line.ts";
import type { BackendState } from "../state.ts";
import type { Doorbell, DoorbellOptions, HostMemory, MemorySlot, MemorySlotOptions, Vm } from "../vm.ts";
import { KvmConnection } from "./connection.ts";
import { KvmIrqLine } from "./irq-line.ts";
import { KvmMemorySlot } from "./memory-slot.ts";
import { preFault } from "./pre-fault.ts";
import { requestKvm } from "./request.ts";
import type { KvmVcpuTicket } from "./vcpu-ticket.ts";
import { restoreVcpuState, saveVcpuState } from "./x64/vcpu-state.ts";
import type { VcpuTraits } from "./x64/vcpu-traits.ts";
import { restoreVmState, saveVmState } from "./x64/vm-state.ts";

export interface KvmVmParts {
  readonly capabilities: Capabilities;
  readonly kernelIrqChip: boolean;
  /** Bytes of the page that a vCPU shares with the kernel. */
  readonly runLength: number;
  readonly traits: VcpuTraits;
}

/** A vCPU as its VM owns it, whichever thread runs it: a thread that is killed leaks nothing. */
interface OwnedVcpu {
  readonly fd: Fd;
  readonly run: KvmRun;
  /** The id of the thread that runs it, 0 when none does. */
  readonly thread: Int32Array;
}

/** A virtual machine of KVM; made by `KvmHypervisor`. */
export class KvmVm implements Vm {
  readonly capabilities: Capabilities;
  readonly #fd: OwnedFd;
  readonly #parts: KvmVmParts;
  readonly #memory: MappedMemory = new MappedMemory();
  readonly #slots: Map<number, KvmMemorySlot> = new Map();
  readonly #vcpus: Map<number, OwnedVcpu> = new Map();
  readonly #owned: DisposalStack = new DisposalStack();
  readonly #connection: KvmConnection;

  constructor(fd: OwnedFd, parts: KvmVmParts) {
    this.#fd = this.#owned.use(fd);
    this.#connection = new KvmConnection(fd.fd);
    this.#parts = parts;
    this.capabilities = parts.capabilities;
  }

  get memory(): GuestMemory {
    return this.#memory;
  }

  addMemory(start: Gpa, memory: HostMemory, { readOnly = false }: MemorySlotOptions = {}): MemorySlot {
    const bytes = (offset: number, length: number): Uint8Array => memory.bytes(offset, length);
    this.#memory.add({ start, length: memory.length, readOnly, bytes });
    try {
      const number = firstFree(this.#slots);
      const slot = new KvmMemorySlot(this.#connection, {
        number,
        start,
        memory,
        readOnly,
        logWrites: (log) => this.#memory.logWrites(log),
        removed: () => {
          this.#slots.delete(number);
          this.#memory.remove(start);
        },
      });
      this.#slots.set(number, slot);
      return slot;
    } catch (error) {
      this.#memory.remove(start);
      throw error;
    }
  }

  irqLine(gsi: Gsi): IrqLine {
    if (!this.#parts.kernelIrqChip) throw new TypeError("This VM has no interrupt controller in the kernel");
    return this.#owned.use(new KvmIrqLine(this.#connection, gsi));
  }

  doorbell(at: Gpa, { width, value }: DoorbellOptions): Doorbell {
    const event = new EventFd();
    const structureWith = (flags: number): Uint8Array => {
      const bytes = new Uint8Array(KvmIoeventfd.size);
      const structure = new KvmIoeventfd(new DataView(bytes.buffer));
      structure.addr = at;
      structure.len = width;
      structure.fd = event.fd;
      structure.datamatch = BigInt(value ?? 0);
      structure.flags = flags | (value === undefined ? 0 : KVM_IOEVENTFD_FLAG_DATAMATCH);
      return bytes;
    };
    using undo = new DisposalStack();
    undo.use(event);
    this.#connection.request(KVM_IOEVENTFD, structureWith(0));
    undo.defer(() => this.#connection.release(KVM_IOEVENTFD, structureWith(KVM_IOEVENTFD_FLAG_DEASSIGN)));
    const resources = this.#owned.use(undo.move());
    return {
      fd: event.fd,
      take: () => event.take(),
      [Symbol.dispose]: () => resources[Symbol.dispose](),
    };
  }

  createVcpu(index: number): KvmVcpuTicket {
    using undo = new DisposalStack();
    const fd = undo.use(new OwnedFd(requestKvm(this.#fd.fd, KVM_CREATE_VCPU, index)));
    const { runLength, traits } = this.#parts;
    const runPage = undo.use(mapRunPage(fd.fd, runLength));
    const thread = new Int32Array(new SharedArrayBuffer(4));
    this.#vcpus.set(index, { fd: fd.fd, run: new KvmRun(new DataView(runPage.bytes().buffer)), thread });
    this.#owned.use(undo.move());
    return { backend: "kvm", index, fd: fd.fd, runAddress: runPage.address, runLength, thread, traits };
  }

  /**
   * The flag stops a vCPU that is about to enter the guest, the signal one that is inside. The flag comes first, and
   * the system call orders the two for the other thread.
   */
  kick(index: number): void {
    const vcpu = this.#vcpu(index);
    vcpu.run.immediateExit = 1;
    // Pairs with the stores in `openKvmVcpu` and in the vCPU's disposal.
    const thread = Atomics.load(vcpu.thread, 0);
    if (thread !== 0) signalThread(thread, SIGURG);
  }

  mapAhead(start: Gpa, length: number): boolean {
    // Any vCPU will do: they share the tables.
    for (const { fd } of this.#vcpus.values()) return preFault(fd, start, length);
    return false;
  }

  save(): BackendState {
    return saveVmState(this.#fd.fd, this.#parts);
  }

  restore(state: BackendState): void {
    restoreVmState(this.#fd.fd, this.#parts, state);
  }

  saveVcpu(index: number): BackendState {
    return saveVcpuState(this.#vcpu(index).fd, this.#parts.traits);
  }

  restoreVcpu(index: number, state: BackendState): void {
    restoreVcpuState(this.#vcpu(index).fd, this.#parts.traits, state);
  }

  /** The kernel takes back all at once what it gave to this VM; to ask for each part would be to wait for each. */
  [Symbol.dispose](): void {
    this.#connection.end();
    for (const slot of [...this.#slots.values()]) slot[Symbol.dispose]();
    this.#vcpus.clear();
    this.#owned[Symbol.dispose]();
  }

  #vcpu(index: number): OwnedVcpu {
    const vcpu = this.#vcpus.get(index);
    if (vcpu === undefined) throw new RangeError(`There is no vCPU ${index}`);
    return vcpu;
  }
}

function mapRunPage(fd: Fd, length: number): Mapping {
  return Mapping.map(length, { protection: PROT_READ | PROT_WRITE, flags: MAP_SHARED, fd });
}

function firstFree(taken: ReadonlyMap<number, unknown>): number {
  let number = 0;
  while (taken.has(number)) number += 1;
  return number;
}
