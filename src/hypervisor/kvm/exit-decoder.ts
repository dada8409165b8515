import * as abi from "../../abi/kvm.x64.generated.ts";
import type { Gpa } from "../../memory/address.ts";
import type { MmioExit, PioExit, VcpuExit } from "../vcpu-exit.ts";

type Mutable<Type> = { -readonly [Key in keyof Type]: Type[Key] };

const halt: VcpuExit = { kind: "halt" };
const interrupted: VcpuExit = { kind: "interrupted" };
const tripleFault: VcpuExit = { kind: "triple-fault" };
const none = new Uint8Array(0);

/**
 * Reads the page that a vCPU shares with the kernel (Documentation/virt/kvm/api.rst, section 5). Exit objects are
 * reused and views made once per length: an exit allocates nothing.
 */
export class ExitDecoder {
  readonly #run: abi.KvmRun;
  readonly #page: ArrayBuffer;
  readonly #mmioData: readonly Uint8Array[];
  readonly #mmio: Mutable<MmioExit> = { kind: "mmio-read", address: 0 as Gpa, data: none };
  readonly #pio: Mutable<PioExit> = { kind: "pio-in", port: 0, width: 1, count: 1, data: none };
  /** By length, for the one offset that KVM uses; at most a page of them. */
  readonly #pioData: Map<number, Uint8Array> = new Map();
  #pioOffset = 0;

  constructor(page: ArrayBuffer) {
    this.#page = page;
    this.#run = new abi.KvmRun(new DataView(page));
    this.#mmioData = Array.from(
      { length: 9 },
      (_, length) => new Uint8Array(page, abi.KvmRun.mmioDataOffset, length),
    );
  }

  decode(): VcpuExit {
    const run = this.#run;
    switch (run.exitReason) {
      case abi.KVM_EXIT_IO:
        return this.#decodePio();
      case abi.KVM_EXIT_MMIO:
        return this.#decodeMmio();
      case abi.KVM_EXIT_HLT:
        return halt;
      case abi.KVM_EXIT_INTR:
      case abi.KVM_EXIT_IRQ_WINDOW_OPEN:
        return interrupted;
      case abi.KVM_EXIT_SHUTDOWN:
        return tripleFault;
      case abi.KVM_EXIT_SYSTEM_EVENT:
        return decodeSystemEvent(run);
      default:
        return { kind: "failed", detail: describeFailure(run) };
    }
  }

  #decodeMmio(): VcpuExit {
    const exit = this.#mmio;
    exit.kind = this.#run.mmioIsWrite === 0 ? "mmio-read" : "mmio-write";
    exit.address = this.#run.mmioPhysAddr as Gpa;
    const data = this.#mmioData[this.#run.mmioLen];
    if (data === undefined)
      return { kind: "failed", detail: `KVM reports ${this.#run.mmioLen} bytes of MMIO` };
    exit.data = data;
    return exit;
  }

  #decodePio(): VcpuExit {
    const exit = this.#pio;
    exit.kind = this.#run.ioDirection === abi.KVM_EXIT_IO_IN ? "pio-in" : "pio-out";
    exit.port = this.#run.ioPort;
    exit.width = this.#run.ioSize;
    exit.count = this.#run.ioCount;
    const offset = this.#run.ioDataOffset;
    const length = exit.width * exit.count;
    if (offset + length > this.#page.byteLength)
      return { kind: "failed", detail: `KVM reports ${length} bytes of port access` };
    exit.data = this.#pioView(offset, length);
    return exit;
  }

  #pioView(offset: number, length: number): Uint8Array {
    if (offset !== this.#pioOffset) {
      this.#pioData.clear();
      this.#pioOffset = offset;
    }
    let view = this.#pioData.get(length);
    if (view === undefined) {
      view = new Uint8Array(this.#page, offset, length);
      this.#pioData.set(length, view);
    }
    return view;
  }
}

function decodeSystemEvent(run: abi.KvmRun): VcpuExit {
  switch (run.systemEventType) {
    case abi.KVM_SYSTEM_EVENT_SHUTDOWN:
      return { kind: "shutdown" };
    case abi.KVM_SYSTEM_EVENT_RESET:
      return { kind: "reset" };
    default:
      return { kind: "failed", detail: `KVM reports system event ${run.systemEventType}` };
  }
}

const internalErrors = new Map([
  [abi.KVM_INTERNAL_ERROR_EMULATION, "an instruction could not be emulated"],
  [abi.KVM_INTERNAL_ERROR_SIMUL_EX, "two exceptions at once"],
  [abi.KVM_INTERNAL_ERROR_DELIVERY_EV, "an exit while an event was being delivered"],
  [abi.KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON, "an unexpected hardware exit"],
]);

function describeFailure(run: abi.KvmRun): string {
  switch (run.exitReason) {
    case abi.KVM_EXIT_FAIL_ENTRY:
      return `KVM could not enter the guest: hardware reason 0x${run.failEntryHardwareEntryFailureReason.toString(16)}`;
    case abi.KVM_EXIT_INTERNAL_ERROR: {
      const name = internalErrors.get(run.internalSuberror) ?? "unknown";
      const count = Math.min(run.internalNdata, 16);
      const data = Array.from({ length: count }, (_, index) =>
        run.view.getBigUint64(abi.KvmRun.internalDataOffset + index * 8, true).toString(16),
      );
      return `KVM internal error ${run.internalSuberror} (${name}); data ${data.join(" ") || "none"}`;
    }
    case abi.KVM_EXIT_UNKNOWN:
      return `KVM does not know hardware exit 0x${run.hwHardwareExitReason.toString(16)}`;
    default:
      return `KVM exit reason ${run.exitReason} is not supported`;
  }
}
