import type { Fd } from "../../abi/fd.ts";
import {
  KVM_GET_DIRTY_LOG,
  KVM_MEM_LOG_DIRTY_PAGES,
  KVM_MEM_READONLY,
  KVM_SET_USER_MEMORY_REGION,
  KvmDirtyLog,
  KvmUserspaceMemoryRegion,
} from "../../abi/kvm.x64.generated.ts";
import type { Gpa } from "../../memory/address.ts";
import { Mapping } from "../../sys/linux/mapping.ts";
import type { HostMemory, MemorySlot } from "../vm.ts";
import { requestKvm } from "./request.ts";

export interface KvmMemorySlotOptions {
  readonly number: number;
  readonly start: Gpa;
  readonly memory: HostMemory;
  readonly readOnly: boolean;
  readonly logDirty: boolean;
  /** Called once, when the guest no longer sees the memory. */
  readonly removed: () => void;
}

const pageLength = 4096;

/** One KVM memory slot, from the request that adds it to the request that removes it. */
export class KvmMemorySlot implements MemorySlot {
  readonly start: Gpa;
  readonly length: number;
  readonly #vm: Fd;
  readonly #options: KvmMemorySlotOptions;
  /** Where the kernel writes the log: it wants a pointer inside a structure, so the bytes must not move. */
  readonly #bitmap: Mapping | undefined;
  #present = true;

  constructor(vm: Fd, options: KvmMemorySlotOptions) {
    this.#vm = vm;
    this.#options = options;
    this.start = options.start;
    this.length = options.memory.length;
    setRegion(vm, options, this.length);
    // Whole 64-bit words, as the kernel writes them.
    if (options.logDirty) this.#bitmap = Mapping.anonymous(Math.ceil(this.length / pageLength / 64) * 8);
  }

  takeDirty(): Uint8Array {
    const bitmap = this.#bitmap;
    if (bitmap === undefined) throw new TypeError("This memory slot does not log what is written");
    const bytes = new Uint8Array(KvmDirtyLog.size);
    const log = new KvmDirtyLog(new DataView(bytes.buffer));
    log.slot = this.#options.number;
    log.dirtyBitmap = bitmap.address;
    requestKvm(this.#vm, KVM_GET_DIRTY_LOG, bytes);
    const [window] = bitmap.windows();
    return new Uint8Array(window?.buffer ?? new ArrayBuffer(0)).slice(
      0,
      Math.ceil(this.length / pageLength / 8),
    );
  }

  [Symbol.dispose](): void {
    if (!this.#present) return;
    this.#present = false;
    this.#options.removed();
    setRegion(this.#vm, this.#options, 0);
    this.#bitmap?.[Symbol.dispose]();
  }
}

/** A length of zero removes the slot. */
function setRegion(vm: Fd, options: KvmMemorySlotOptions, length: number): void {
  const bytes = new Uint8Array(KvmUserspaceMemoryRegion.size);
  const region = new KvmUserspaceMemoryRegion(new DataView(bytes.buffer));
  region.slot = options.number;
  region.flags = (options.readOnly ? KVM_MEM_READONLY : 0) | (options.logDirty ? KVM_MEM_LOG_DIRTY_PAGES : 0);
  region.guestPhysAddr = options.start;
  region.memorySize = length;
  region.userspaceAddr = options.memory.address;
  requestKvm(vm, KVM_SET_USER_MEMORY_REGION, bytes);
}
