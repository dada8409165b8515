import { setTimeout as sleep } from "node:timers/promises";
import { SupermachineError } from "../../../errors/supermachine-error.ts";
import type { Timings } from "./timings.ts";

/** A failure that may pass: a broken connection, an overloaded server. `failure` is what users see if it does not. */
export class TransientError extends Error {
  readonly failure: SupermachineError;
  /** What the server asked for by Retry-After. */
  readonly retryAfterMs: number | undefined;
  /** At most this many tries, where more would only keep the user waiting. */
  readonly attempts: number;

  constructor(
    failure: SupermachineError,
    options: { retryAfterMs?: number | undefined; attempts?: number } = {},
  ) {
    super(failure.message, { cause: failure });
    this.failure = failure;
    this.retryAfterMs = options.retryAfterMs;
    this.attempts = options.attempts ?? Infinity;
  }
}

/**
 * Runs `attempt` until it succeeds, fails for good, or has been tried often enough. `progress` tells how far the work
 * has come: tries that bring it forward do not count.
 */
export async function withRetries<Result>(
  attempt: () => Promise<Result>,
  options: {
    readonly timings: Timings;
    readonly signal?: AbortSignal | undefined;
    readonly progress?: () => number;
  },
): Promise<Result> {
  const { timings, signal, progress } = options;
  let failures = 0;
  // Progress resets the count below, so the total is bounded as well.
  for (let total = 1; ; total++) {
    const before = progress?.() ?? 0;
    try {
      signal?.throwIfAborted();
      return await attempt();
    } catch (error) {
      if (signal?.aborted) throw aborted(signal);
      if (!(error instanceof TransientError)) throw error;
      failures = (progress?.() ?? 0) > before ? 1 : failures + 1;
      const pause = error.retryAfterMs ?? backoff(failures, timings);
      const isHopeless = failures >= Math.min(timings.attempts, error.attempts) || total >= maximumTries;
      if (isHopeless || pause > timings.maximumPauseMs) throw error.failure;
      await pauseFor(pause, signal);
    }
  }
}

/** What to throw once the caller's signal has fired. */
export function aborted(signal: AbortSignal): SupermachineError {
  if (signal.reason instanceof SupermachineError) return signal.reason;
  return new SupermachineError("ABORTED", "The transfer of the image was aborted", { cause: signal.reason });
}

/** Retry-After is a number of seconds or a date (RFC 9110 section 10.2.3). */
export function parseRetryAfter(value: string | null, nowMs: number): number | undefined {
  if (value === null) return undefined;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  const at = Date.parse(value);
  return Number.isNaN(at) ? undefined : Math.max(0, at - nowMs);
}

/** For a transfer that keeps breaking off but always gets a little further. */
const maximumTries = 200;

/** Half of it fixed, half random, so that clients that failed together do not come back together. */
function backoff(failures: number, timings: Timings): number {
  const full = Math.min(timings.backoffMs * 2 ** (failures - 1), timings.maximumPauseMs);
  return full / 2 + (Math.random() * full) / 2;
}

async function pauseFor(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(ms, undefined, signal === undefined ? {} : { signal });
  } catch {
    // Only an abort ends the sleep early; the loop sees it.
  }
}
