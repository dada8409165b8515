const firstDelayMs = 100;
const longestDelayMs = 30_000;
/** Failures further apart than this have nothing to do with each other. */
const memoryMs = 2 * longestDelayMs;

/**
 * Says when the next attempt in the background may be made: after each failure in a row twice as late, up to half a
 * minute, and at random within the second half of that time, so that pools which fail together do not retry together.
 */
export class Backoff {
  readonly #random: () => number;
  #failures = 0;
  #lastFailure = Number.NEGATIVE_INFINITY;
  #until = Number.NEGATIVE_INFINITY;

  /** @param random As `Math.random`. */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** The time from which on an attempt may be made. */
  get until(): number {
    return this.#until;
  }

  failed(now: number): void {
    if (now - this.#lastFailure > memoryMs) this.#failures = 0;
    const delay = Math.min(firstDelayMs * 2 ** this.#failures, longestDelayMs);
    this.#failures = Math.min(this.#failures + 1, 30);
    this.#lastFailure = now;
    this.#until = now + delay * (0.5 + 0.5 * this.#random());
  }

  succeeded(): void {
    this.#failures = 0;
    this.#until = Number.NEGATIVE_INFINITY;
  }
}
