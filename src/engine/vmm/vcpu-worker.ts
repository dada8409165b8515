import { Worker } from "node:worker_threads";
import type { VcpuJob, VcpuMessage } from "./vcpu-protocol.ts";

/** A loop around KVM_RUN needs little; the defaults would reserve for a whole program. */
const resourceLimits = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 32, stackSizeMb: 1 };

/** A thread that runs vCPUs, one after the other. It keeps the process alive only while it runs one. */
export class VcpuWorker {
  /** Resolves with the reason when the thread is gone; never rejects. */
  readonly exited: Promise<string>;
  readonly #worker: Worker;
  #onMessage: ((message: VcpuMessage) => void) | undefined;

  /** Returns before the thread has started; what it is given meanwhile waits for it. */
  constructor() {
    this.#worker = new Worker(new URL("./vcpu.worker.js", import.meta.url), {
      // Options of the program around us are not for this thread: some make it fail, others make it load more.
      execArgv: [],
      resourceLimits,
      // It prints nothing, and joining its streams to ours would make ours, which takes its time.
      stdout: true,
      stderr: true,
    });
    this.#worker.on("message", (message: VcpuMessage) => this.#onMessage?.(message));
    let reason = "its thread ended without a word";
    this.#worker.on("error", (error: Error) => {
      reason = error.message;
    });
    this.exited = new Promise((resolve) => this.#worker.once("exit", () => resolve(reason)));
    // Last: a listener for messages takes it back.
    this.#worker.unref();
  }

  /** Has the thread run a vCPU, of which the last message is its end. */
  run(data: VcpuJob, onMessage: (message: VcpuMessage) => void): void {
    this.#onMessage = onMessage;
    this.#worker.ref();
    this.#worker.postMessage(data);
  }

  /** The vCPU has ended; the thread waits for another one. */
  rest(): void {
    this.#onMessage = undefined;
    this.#worker.unref();
  }

  /** Ends the thread, wherever it is. One that is inside a system call ends only once that returns. */
  terminate(): void {
    void this.#worker.terminate();
  }
}
