import { Worker } from "node:worker_threads";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import { answerMonitor, type DeviceRequest } from "./mailbox.ts";
import {
  type VcpuEnd,
  type VcpuMessage,
  type VcpuThreadData,
  WISH_PAUSE,
  WISH_RUN,
  WISH_STOP,
} from "./vcpu-protocol.ts";

export interface VcpuThreadOptions {
  readonly data: VcpuThreadData;
  /** Makes the vCPU leave the guest soon. */
  readonly kick: () => void;
  readonly onRequest: (request: DeviceRequest) => boolean;
  readonly onConsole: (bytes: Uint8Array) => void;
}

/** A loop around KVM_RUN needs little; the defaults would reserve for a whole program. */
const resourceLimits = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 32, stackSizeMb: 1 };

/** The monitor's handle on a thread that runs one vCPU. */
export class VcpuThread {
  /** Resolves when the thread is gone and nothing of the vCPU is in use any more; never rejects. */
  readonly ended: Promise<VcpuEnd>;
  readonly #options: VcpuThreadOptions;
  readonly #worker: Worker;
  #onPaused: (() => void) | undefined;
  #pauses = 0;

  constructor(options: VcpuThreadOptions) {
    this.#options = options;
    this.#worker = new Worker(new URL("./vcpu.worker.js", import.meta.url), {
      workerData: options.data,
      resourceLimits,
      stdout: false,
    });
    this.ended = this.#watch();
  }

  /** How often the vCPU left the guest, by kind. */
  get exitCounts(): SharedArrayBuffer {
    return this.#options.data.exitCounts;
  }

  /** Asks the thread to end; `ended` tells when it has. */
  stop(): void {
    this.#setWish(WISH_STOP);
    this.#options.kick();
  }

  /**
   * Stops the vCPU between two instructions, where its state can be saved or replaced. Rejects with MACHINE_EXITED when
   * the thread ends first.
   */
  async pause(): Promise<void> {
    const paused = new Promise<void>((resolve) => {
      this.#onPaused = resolve;
    });
    this.#setWish(WISH_PAUSE + this.#pauses++);
    this.#options.kick();
    const gone = this.ended.then(() => {
      throw new SupermachineError("MACHINE_EXITED", "The machine ended while it was being paused");
    });
    await Promise.race([paused, gone]);
  }

  /** Lets a paused vCPU go on. */
  resume(): void {
    this.#setWish(WISH_RUN);
  }

  /** Ends the thread by force, wherever it is; for one that does not stop. */
  terminate(): void {
    void this.#worker.terminate();
    // A thread inside a system call cannot be ended: make the call return.
    this.#options.kick();
  }

  /** Pairs with the load in the vCPU's loop, which a kick or the notification makes it reach. */
  #setWish(wish: number): void {
    const words = new Int32Array(this.#options.data.wish);
    Atomics.store(words, 0, wish);
    Atomics.notify(words, 0);
  }

  async #watch(): Promise<VcpuEnd> {
    let end: VcpuEnd | undefined;
    let failure = "its thread ended without a word";
    this.#worker.on("message", (message: VcpuMessage) => {
      if (message.kind === "ask") answerMonitor(this.#options.data.mailbox, this.#options.onRequest);
      else if (message.kind === "console") this.#options.onConsole(message.bytes);
      else if (message.kind === "paused") this.#onPaused?.();
      else end = message.end;
    });
    this.#worker.on("error", (error: Error) => {
      failure = error.message;
    });
    await new Promise((resolve) => this.#worker.once("exit", resolve));
    const { index } = this.#options.data.ticket;
    return end ?? { kind: "failed", detail: `vCPU ${index}: ${failure}` };
  }
}
