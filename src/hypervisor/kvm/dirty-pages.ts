// Documentation/virt/kvm/api.rst, "KVM_GET_DIRTY_LOG".
import { KVM_GET_DIRTY_LOG, KvmDirtyLog } from "../../abi/kvm.x64.generated.ts";
import { DisposalStack } from "../../lifetime/disposal-stack.ts";
import { WriteLog } from "../../memory/write-log.ts";
import { Mapping } from "../../sys/linux/mapping.ts";
import type { DirtyLog } from "../vm.ts";
import type { KvmConnection } from "./connection.ts";

export interface KvmDirtyPagesOptions {
  readonly vm: KvmConnection;
  /** The slot's. */
  readonly number: number;
  readonly logWrites: (log: WriteLog) => Disposable;
  /** Switch the kernel's log of the slot on, and off. */
  readonly on: () => void;
  readonly off: () => void;
  /** Called once, when the log is off. */
  readonly ended: () => void;
}

const pageLength = 4096;

/** What a slot's memory is written by: the guest, as the kernel knows, and this thread, as it notes itself. */
export class KvmDirtyPages implements DirtyLog {
  readonly #options: KvmDirtyPagesOptions;
  readonly #length: number;
  readonly #host: WriteLog;
  /** Where the kernel writes its log: it wants a pointer inside a structure, so the bytes must not move. */
  readonly #bitmap: Mapping;
  readonly #owned: DisposalStack;

  constructor({ start, length }: { start: number; length: number }, options: KvmDirtyPagesOptions) {
    using undo = new DisposalStack();
    this.#options = options;
    this.#length = length;
    this.#host = new WriteLog(start, length);
    // Whole 64-bit words, as the kernel writes them.
    this.#bitmap = undo.use(Mapping.anonymous(Math.ceil(length / pageLength / 64) * 8));
    undo.use(options.logWrites(this.#host));
    undo.defer(options.ended);
    options.on();
    undo.defer(options.off);
    this.#owned = undo.move();
  }

  take(): Uint8Array {
    const bitmap = this.#bitmap;
    const bytes = new Uint8Array(KvmDirtyLog.size);
    const log = new KvmDirtyLog(new DataView(bytes.buffer));
    log.slot = this.#options.number;
    log.dirtyBitmap = bitmap.address;
    this.#options.vm.request(KVM_GET_DIRTY_LOG, bytes);
    const dirty = bitmap.bytes(0, Math.ceil(this.#length / pageLength / 8)).slice();
    const written = this.#host.take();
    for (let index = 0; index < dirty.length; index++)
      dirty[index] = (dirty[index] ?? 0) | (written[index] ?? 0);
    return dirty;
  }

  [Symbol.dispose](): void {
    this.#owned[Symbol.dispose]();
  }
}
