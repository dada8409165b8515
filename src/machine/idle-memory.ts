import type { Agent } from "../agent/requests.ts";
import { type Clock, hostClock } from "./clock.ts";

export interface IdleMemoryOptions {
  /** How long a machine has to be idle. */
  readonly afterMs: number;
  readonly clock?: Clock;
}

/** To drop caches makes pages the machine's own that it shared with others of its template: some 5 MiB of them. */
const leastMiB = 32;

/**
 * Gets back from an idle guest what it does not free by itself: its caches. Once each time that the machine becomes idle, the
 * guest is asked to drop them; what is free then goes the way of all free memory.
 *
 * A machine is idle while no operation is under way in it (commands, files, connections to its ports), its main command
 * apart: a server that nobody talks to is idle. One that has never been used has no caches, and is left alone.
 *
 * It is a kindness: a guest that cannot, or does not answer, keeps its caches, and nobody is told.
 */
export class IdleMemory implements Disposable {
  readonly #agent: Pick<Agent, "reclaim">;
  readonly #afterMs: number;
  readonly #clock: Clock;
  #operations = 0;
  #holds = 0;
  #isIdle = true;
  #idleSince = 0;
  #isAsking = false;
  /** Undefined while none runs. It outlives uses, which are many and short: it is set once in `afterMs`, not for each of them. */
  #cancel: (() => void) | undefined;
  #isOver = false;

  constructor(agent: Pick<Agent, "reclaim">, { afterMs, clock = hostClock }: IdleMemoryOptions) {
    this.#agent = agent;
    this.#afterMs = afterMs;
    this.#clock = clock;
  }

  /** To be told how many operations are under way, this one's own included, whenever that has changed. */
  operations(underWay: number): void {
    this.#operations = underWay;
    this.#update();
  }

  /** The machine is in use until this is disposed. */
  hold(): Disposable {
    this.#holds++;
    this.#update();
    return {
      [Symbol.dispose]: () => {
        this.#holds--;
        this.#update();
      },
    };
  }

  /** Nothing more is asked of the guest, which may be gone. */
  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#cancel?.();
  }

  #update(): void {
    const underWay = this.#operations - (this.#isAsking ? 1 : 0);
    const isIdle = underWay <= 0 && this.#holds === 0;
    if (this.#isOver || isIdle === this.#isIdle) return;
    this.#isIdle = isIdle;
    if (!isIdle) return;
    this.#idleSince = this.#clock.now();
    this.#wait(this.#afterMs);
  }

  #wait(ms: number): void {
    this.#cancel ??= this.#clock.timer(ms, () => {
      this.#cancel = undefined;
      if (!this.#isIdle) return;
      const left = this.#idleSince + this.#afterMs - this.#clock.now();
      if (left > 0) this.#wait(left);
      else void this.#ask();
    });
  }

  async #ask(): Promise<void> {
    // One that has not answered the last time is not asked again.
    if (this.#isAsking) return;
    this.#isAsking = true;
    try {
      await this.#agent.reclaim(leastMiB);
    } catch {
      // Then it keeps them.
    }
    this.#isAsking = false;
    this.#update();
  }
}
