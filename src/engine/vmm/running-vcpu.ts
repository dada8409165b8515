import { SupermachineError } from "../../errors/supermachine-error.ts";
import { answerVcpu, type DeviceRequest } from "./mailbox.ts";
import {
  type VcpuEnd,
  type VcpuJob,
  type VcpuMessage,
  WISH_PAUSE,
  WISH_RUN,
  WISH_STOP,
} from "./vcpu-protocol.ts";
import type { VcpuWorker } from "./vcpu-worker.ts";
import { vcpuWorkers } from "./vcpu-workers.ts";

export interface RunningVcpuOptions {
  readonly data: VcpuJob;
  /** Taken from `vcpuWorkers`, and given back by us. */
  readonly worker: VcpuWorker;
  /** Makes the vCPU leave the guest soon. */
  readonly kick: () => void;
  readonly onRequest: (request: DeviceRequest) => boolean;
  readonly onConsole: (bytes: Uint8Array) => void;
}

/** The monitor's handle on a vCPU that a thread runs, from its start to its end. */
export class RunningVcpu {
  /** Resolves when its thread has left it and nothing of it is in use any more; never rejects. */
  readonly ended: Promise<VcpuEnd>;
  readonly #options: RunningVcpuOptions;
  /** The thread is ours no more. */
  #hasEnded = false;
  #isTerminated = false;
  #isStopping = false;
  #onPaused: (() => void) | undefined;
  #pauses = 0;

  constructor(options: RunningVcpuOptions) {
    this.#options = options;
    this.ended = this.#watch();
  }

  /** How often the vCPU left the guest, by kind. */
  get exitCounts(): SharedArrayBuffer {
    return this.#options.data.exitCounts;
  }

  /** Asks it to end; `ended` tells when it has. */
  stop(): void {
    this.#isStopping = true;
    this.#setWish(WISH_STOP);
    this.#kick();
  }

  /**
   * Stops the vCPU between two instructions, where its state can be saved or replaced. Rejects with MACHINE_EXITED when
   * the thread ends first.
   */
  async pause(): Promise<void> {
    const paused = new Promise<void>((resolve) => {
      this.#onPaused = resolve;
    });
    if (!this.#isStopping) {
      this.#setWish(WISH_PAUSE + this.#pauses++);
      this.#kick();
    }
    const gone = this.ended.then(() => {
      throw new SupermachineError("MACHINE_EXITED", "The machine ended while it was being paused");
    });
    await Promise.race([paused, gone]);
  }

  /** Lets a paused vCPU go on, unless it has been asked to end: it may not have seen that yet. */
  resume(): void {
    if (!this.#isStopping) this.#setWish(WISH_RUN);
  }

  /** Ends the thread by force, wherever it is; for one that does not stop. */
  terminate(): void {
    if (this.#hasEnded) return;
    this.#isTerminated = true;
    this.#options.worker.terminate();
    // A thread inside a system call cannot be ended: make the call return.
    this.#kick();
  }

  /** Pairs with the load in the vCPU's loop, which a kick or the notification makes it reach. */
  #setWish(wish: number): void {
    const words = new Int32Array(this.#options.data.wish);
    Atomics.store(words, 0, wish);
    Atomics.notify(words, 0);
  }

  /** Afterwards the vCPU may be gone, and the thread run another one. */
  #kick(): void {
    if (!this.#hasEnded) this.#options.kick();
  }

  async #watch(): Promise<VcpuEnd> {
    const { data, worker, onRequest, onConsole } = this.#options;
    const said = new Promise<VcpuEnd>((resolve) => {
      worker.run(data, (message: VcpuMessage) => {
        if (message.kind === "ask") answerVcpu(data.mailbox, onRequest);
        else if (message.kind === "console") onConsole(message.bytes);
        else if (message.kind === "paused") this.#onPaused?.();
        else resolve(message.end);
      });
    });
    const gone = worker.exited.then(
      (reason): VcpuEnd => ({ kind: "failed", detail: `vCPU ${data.ticket.index}: ${reason}` }),
    );
    const end = await Promise.race([said, gone]);
    if (end.kind === "failed" || this.#isTerminated) {
      // Who knows in what state the thread is: no other vCPU should find out.
      worker.terminate();
      await worker.exited;
    } else vcpuWorkers.giveBack(worker);
    this.#hasEnded = true;
    return end;
  }
}
