import type { Fd } from "../../abi/fd.ts";
import {
  KVM_IRQ_LINE,
  KVM_IRQFD,
  KVM_IRQFD_FLAG_DEASSIGN,
  KvmIrqfd,
  KvmIrqLevel,
} from "../../abi/kvm.x64.generated.ts";
import { EventFd } from "../../sys/linux/eventfd.ts";
import type { Gsi, IrqLine } from "../irq-line.ts";
import type { KvmConnection } from "./connection.ts";

/** An interrupt input of the kernel's chips: edges through an irqfd, levels through a request. */
export class KvmIrqLine implements IrqLine {
  readonly #vm: KvmConnection;
  readonly #gsi: Gsi;
  readonly #event: EventFd = new EventFd();
  #open = true;

  constructor(vm: KvmConnection, gsi: Gsi) {
    this.#vm = vm;
    this.#gsi = gsi;
    try {
      vm.request(KVM_IRQFD, this.#structure(0));
    } catch (error) {
      this.#event[Symbol.dispose]();
      throw error;
    }
  }

  get fd(): Fd {
    return this.#event.fd;
  }

  pulse(): void {
    this.#event.signal();
  }

  set(level: boolean): void {
    const bytes = new Uint8Array(KvmIrqLevel.size);
    const structure = new KvmIrqLevel(new DataView(bytes.buffer));
    structure.irq = this.#gsi;
    structure.level = level ? 1 : 0;
    this.#vm.request(KVM_IRQ_LINE, bytes);
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    this.#vm.release(KVM_IRQFD, this.#structure(KVM_IRQFD_FLAG_DEASSIGN));
    this.#event[Symbol.dispose]();
  }

  #structure(flags: number): Uint8Array {
    const bytes = new Uint8Array(KvmIrqfd.size);
    const structure = new KvmIrqfd(new DataView(bytes.buffer));
    structure.fd = this.#event.fd;
    structure.gsi = this.#gsi;
    structure.flags = flags;
    return bytes;
  }
}
