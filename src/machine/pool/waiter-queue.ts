import type { Clock } from "../clock.ts";

/** When a waiter gives up, and with which error. */
export interface WaitLimits {
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  timedOut(): Error;
  aborted(reason: unknown): Error;
}

interface Waiter<Value> {
  readonly since: number;
  settle(outcome: { value: Value } | { error: unknown }): void;
}

/** Those who wait for something, served in the order in which they came. Whoever gives up leaves no trace. */
export class WaiterQueue<Value> {
  readonly #waiters = new Set<Waiter<Value>>();
  readonly #clock: Clock;
  readonly #onLeave: () => void;

  /** @param onLeave Called after a waiter gave up: it wants nothing any more. */
  constructor(clock: Clock, onLeave: () => void) {
    this.#clock = clock;
    this.#onLeave = onLeave;
  }

  get length(): number {
    return this.#waiters.size;
  }

  /** Waits to be served. */
  join(limits: WaitLimits): Promise<Value> {
    const { timeoutMs, signal } = limits;
    return new Promise((resolve, reject) => {
      const leave = (error: Error): void => {
        waiter.settle({ error });
        this.#onLeave();
      };
      const abort = (): void => leave(limits.aborted(signal?.reason));
      const cancelTimer =
        timeoutMs === Number.POSITIVE_INFINITY
          ? () => {}
          : this.#clock.timer(timeoutMs, () => leave(limits.timedOut()));
      const waiter: Waiter<Value> = {
        since: this.#clock.now(),
        settle: (outcome) => {
          this.#waiters.delete(waiter);
          cancelTimer();
          signal?.removeEventListener("abort", abort);
          if ("value" in outcome) resolve(outcome.value);
          else reject(outcome.error);
        },
      };
      this.#waiters.add(waiter);
      signal?.addEventListener("abort", abort, { once: true });
      if (signal?.aborted === true) abort();
    });
  }

  /** Gives the value to whoever has waited longest; returns for how long, in milliseconds. There must be one. */
  serve(value: Value): number {
    const waiter = this.#first();
    if (waiter === undefined) throw new RangeError("Nobody waits");
    waiter.settle({ value });
    return this.#clock.now() - waiter.since;
  }

  /** Fails whoever has waited longest, if anybody does. */
  fail(error: unknown): void {
    this.#first()?.settle({ error });
  }

  /** Fails everybody, each with an error of its own. */
  failAll(error: () => unknown): void {
    for (const waiter of [...this.#waiters]) waiter.settle({ error: error() });
  }

  #first(): Waiter<Value> | undefined {
    return this.#waiters.values().next().value;
  }
}
