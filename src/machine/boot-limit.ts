import type { EngineMachine } from "../engine/engine.ts";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { bootError } from "./machine-end.ts";

/** Ends the wait for a booting guest: too late, given up by the caller, or the guest has gone. */
export class BootLimit implements Disposable {
  readonly #broken: Promise<never>;
  #release: () => void = () => {};
  #reason: { error: unknown } | undefined;

  constructor(guest: EngineMachine, options: { timeoutMs: number; signal?: AbortSignal | undefined }) {
    const { timeoutMs, signal } = options;
    this.#broken = new Promise((_resolve, reject) => {
      const timer = setTimeout(() => reject(bootTimeout(guest, timeoutMs)), timeoutMs);
      const abort = () => reject(aborted(signal?.reason));
      signal?.addEventListener("abort", abort, { once: true });
      if (signal?.aborted === true) abort();
      guest.exited.then((exit) => reject(bootError(exit)));
      this.#release = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", abort);
      };
    });
    this.#broken.catch((error: unknown) => {
      this.#reason = { error };
    });
  }

  /** The promise's value, unless the limit comes first. */
  race<Value>(promise: Promise<Value>): Promise<Value> {
    return Promise.race([promise, this.#broken]);
  }

  /** Throws when the limit has come already, whatever answered before. */
  check(): void {
    if (this.#reason !== undefined) throw this.#reason.error;
  }

  [Symbol.dispose](): void {
    this.#release();
  }
}

/** The error for a creation that its caller gave up. */
export function aborted(reason: unknown): SupermachineError {
  return new SupermachineError("ABORTED", "The machine's creation was aborted", { cause: reason });
}

function bootTimeout(guest: EngineMachine, timeoutMs: number): SupermachineError {
  const lines = guest.consoleLines();
  return new SupermachineError("BOOT_TIMEOUT", `The guest's agent did not answer within ${timeoutMs} ms`, {
    hint:
      lines.length === 0
        ? "The guest printed nothing; try another kernel"
        : `The guest's last line: ${lines.at(-1)}`,
    data: { timeoutMs, console: lines },
  });
}
