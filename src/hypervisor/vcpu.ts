import type { CpuProfile, EntryState } from "../arch/cpu.ts";
import type { BackendState } from "./state.ts";
import type { VcpuExit } from "./vcpu-exit.ts";

/** Names a vCPU for the thread that will run it. Plain data that can be posted to a worker of this process. */
export interface VcpuTicket {
  readonly backend: string;
  readonly index: number;
}

/** A vCPU on the thread that runs it. */
export interface Vcpu extends Disposable {
  readonly index: number;
  /** Once, before the first run: what the guest sees of its processor, and (for a cold boot) where it starts. */
  configure(profile: CpuProfile, entry?: EntryState): void;
  /**
   * Runs the guest until something needs us. Blocks the thread. The exit is one reused object, valid until the next
   * call; a read is answered by filling its data in place first. Never throws because of what a guest does.
   */
  run(): VcpuExit;
  /** From this thread: completes what the last exit left open, and makes the next `run()` return `interrupted`. */
  requestExit(): void;
  /** Everything the guest could notice. Only when the last `run()` returned `interrupted`, or before the first. */
  save(): BackendState;
  /** Instead of `configure`, after the VM's own state. Throws `HYPERVISOR` for a foreign or damaged state. */
  restore(state: BackendState): void;
}
