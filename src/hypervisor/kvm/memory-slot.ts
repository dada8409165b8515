import {
  KVM_MEM_LOG_DIRTY_PAGES,
  KVM_MEM_READONLY,
  KVM_SET_USER_MEMORY_REGION,
  KvmUserspaceMemoryRegion,
} from "../../abi/kvm.x64.generated.ts";
import type { Gpa } from "../../memory/address.ts";
import type { WriteLog } from "../../memory/write-log.ts";
import type { DirtyLog, HostMemory, MemorySlot } from "../vm.ts";
import type { KvmConnection } from "./connection.ts";
import { KvmDirtyPages } from "./dirty-pages.ts";

export interface KvmMemorySlotOptions {
  readonly number: number;
  readonly start: Gpa;
  readonly memory: HostMemory;
  readonly readOnly: boolean;
  /** Tells a log what is written through the VM's memory. */
  readonly logWrites: (log: WriteLog) => Disposable;
  /** Called once, when the guest no longer sees the memory. */
  readonly removed: () => void;
}

/** One KVM memory slot, from the request that adds it to the request that removes it. */
export class KvmMemorySlot implements MemorySlot {
  readonly start: Gpa;
  readonly length: number;
  readonly #vm: KvmConnection;
  readonly #options: KvmMemorySlotOptions;
  #log: DirtyLog | undefined;
  #present = true;

  constructor(vm: KvmConnection, options: KvmMemorySlotOptions) {
    this.#vm = vm;
    this.#options = options;
    this.start = options.start;
    this.length = options.memory.length;
    vm.request(KVM_SET_USER_MEMORY_REGION, this.#structure(this.length));
  }

  logDirty(): DirtyLog {
    if (!this.#present) throw new TypeError("The memory slot is gone");
    if (this.#log !== undefined) throw new TypeError("This memory slot logs what is written already");
    const { number, logWrites } = this.#options;
    const log = new KvmDirtyPages(this, {
      vm: this.#vm,
      number,
      logWrites,
      // A request for a slot that exists changes its flags; the guest's view of the memory stays.
      on: () =>
        this.#vm.request(KVM_SET_USER_MEMORY_REGION, this.#structure(this.length, KVM_MEM_LOG_DIRTY_PAGES)),
      off: () => this.#vm.release(KVM_SET_USER_MEMORY_REGION, this.#structure(this.length)),
      ended: () => {
        this.#log = undefined;
      },
    });
    this.#log = log;
    return log;
  }

  [Symbol.dispose](): void {
    if (!this.#present) return;
    this.#log?.[Symbol.dispose]();
    this.#present = false;
    this.#options.removed();
    this.#vm.release(KVM_SET_USER_MEMORY_REGION, this.#structure(0));
  }

  /** A length of zero removes the slot. */
  #structure(length: number, flags = 0): Uint8Array {
    const { number, start, memory, readOnly } = this.#options;
    const bytes = new Uint8Array(KvmUserspaceMemoryRegion.size);
    const region = new KvmUserspaceMemoryRegion(new DataView(bytes.buffer));
    region.slot = number;
    region.flags = flags | (readOnly ? KVM_MEM_READONLY : 0);
    region.guestPhysAddr = start;
    region.memorySize = length;
    region.userspaceAddr = memory.address;
    return bytes;
  }
}
