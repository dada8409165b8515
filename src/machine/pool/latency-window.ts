/** How long things took: over the most recent ones, in milliseconds. */
export interface Percentiles {
  /** How many the numbers are taken from: at most the last 1,000. */
  readonly count: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

const size = 1_000;

/** Keeps the last durations for their percentiles, in bounded memory. */
export class LatencyWindow {
  readonly #durations: number[] = [];
  #next = 0;

  add(ms: number): void {
    this.#durations[this.#next] = ms;
    this.#next = (this.#next + 1) % size;
  }

  /** All 0 while there is nothing to count. */
  percentiles(): Percentiles {
    const sorted = Float64Array.from(this.#durations).sort();
    // Nearest rank: the smallest duration that the given share of all does not exceed.
    const at = (share: number): number => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
    return { count: sorted.length, p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) };
  }
}
