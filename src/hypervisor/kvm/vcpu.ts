import {
  KVM_RUN,
  KVM_SET_CPUID2,
  KVM_SET_SIGNAL_MASK,
  KvmRun,
  KvmSignalMask,
} from "../../abi/kvm.x64.generated.ts";
import { SIGURG } from "../../abi/linux.x64.generated.ts";
import type { CpuProfile, EntryState } from "../../arch/cpu.ts";
import { interruptibleIoctl } from "../../sys/linux/ioctl.ts";
import { EAGAIN, EINTR, errnoName } from "../../sys/linux/system-error.ts";
import { blockSignal, takeSignal, threadId } from "../../sys/linux/thread.ts";
import { foreignBytes } from "../../sys/native-function.ts";
import type { BackendState } from "../state.ts";
import type { Vcpu, VcpuTicket } from "../vcpu.ts";
import type { VcpuExit } from "../vcpu-exit.ts";
import { ExitDecoder } from "./exit-decoder.ts";
import { requestKvm } from "./request.ts";
import { type KvmVcpuTicket, kvmTicket } from "./vcpu-ticket.ts";
import { guestCpuid } from "./x64/cpuid.ts";
import { applyEntryState } from "./x64/entry.ts";
import { restoreVcpuState, saveVcpuState } from "./x64/vcpu-state.ts";

/**
 * The kick, without a signal handler: this thread blocks SIGURG, and KVM unblocks it only while it is inside
 * KVM_RUN, where it ends the run with EINTR; it stays pending and is consumed afterwards. SIGURG because its default
 * is to be ignored, so that one sent too late, to a thread that meanwhile does something else, does nothing.
 */
export function openKvmVcpu(opened: VcpuTicket): Vcpu {
  const ticket = kvmTicket(opened);
  const runPage = foreignBytes(ticket.runAddress, ticket.runLength);
  const mask = blockSignal(SIGURG);
  // A kick that came too late for this thread's last vCPU is not for this one.
  takeSignal(SIGURG);
  const byte = (SIGURG - 1) >> 3;
  mask[byte] = (mask[byte] ?? 0) & ~(1 << ((SIGURG - 1) & 7));
  const bytes = new Uint8Array(KvmSignalMask.sigsetOffset + mask.length);
  new KvmSignalMask(new DataView(bytes.buffer)).len = mask.length;
  bytes.set(mask, KvmSignalMask.sigsetOffset);
  requestKvm(ticket.fd, KVM_SET_SIGNAL_MASK, bytes);
  // Pairs with the load in `KvmVm.kick`.
  Atomics.store(ticket.thread, 0, threadId());
  return new KvmVcpu(ticket, runPage.buffer);
}

class KvmVcpu implements Vcpu {
  readonly index: number;
  readonly #ticket: KvmVcpuTicket;
  readonly #run: KvmRun;
  readonly #exits: ExitDecoder;
  /** The guest waits for the answer to its last access, which is in no register yet. */
  #isAccessOpen = false;

  constructor(ticket: KvmVcpuTicket, runPage: ArrayBuffer) {
    this.index = ticket.index;
    this.#ticket = ticket;
    this.#run = new KvmRun(new DataView(runPage));
    this.#exits = new ExitDecoder(runPage);
  }

  configure(profile: CpuProfile, entry?: EntryState): void {
    const { traits, fd } = this.#ticket;
    requestKvm(fd, KVM_SET_CPUID2, guestCpuid(traits.cpuid, { ...profile, tscDeadline: traits.tscDeadline }));
    if (entry !== undefined) applyEntryState(fd, entry);
  }

  run(): VcpuExit {
    for (;;) {
      const result = interruptibleIoctl(this.#ticket.fd, KVM_RUN);
      if (result >= 0) {
        const exit = this.#exits.decode();
        this.#isAccessOpen = "data" in exit;
        return exit;
      }
      // A processor that waited to be started by another was just started.
      if (result === -EAGAIN) continue;
      this.#isAccessOpen = false;
      if (result === -EINTR) return this.#interrupted();
      return { kind: "failed", detail: `KVM_RUN failed: ${errnoName(-result)}` };
    }
  }

  requestExit(): void {
    this.#run.immediateExit = 1;
  }

  save(): BackendState {
    if (this.#isAccessOpen) throw new TypeError("The vCPU is inside an access: let it be interrupted first");
    return saveVcpuState(this.#ticket.fd, this.#ticket.traits);
  }

  restore(state: BackendState): void {
    restoreVcpuState(this.#ticket.fd, this.#ticket.traits, state);
  }

  [Symbol.dispose](): void {
    Atomics.store(this.#ticket.thread, 0, 0);
  }

  /** Flag first: a kick in between then costs one more empty run, whereas the other order could lose it. */
  #interrupted(): VcpuExit {
    this.#run.immediateExit = 0;
    takeSignal(SIGURG);
    return interrupted;
  }
}

const interrupted: VcpuExit = { kind: "interrupted" };
