import type { Percentiles } from "./latency-window.ts";

/** What a pool is doing now, and what it has done so far. */
export interface PoolStats {
  /** Machines that are ready to be handed out. */
  readonly idle: number;
  readonly leased: number;
  /** Machines being started, those included that wait for host memory or for their turn. */
  readonly starting: number;
  /** Machines being reset or checked. */
  readonly resetting: number;
  /** Machines being ended. */
  readonly ending: number;
  /** Calls of `acquire` that have not been answered. */
  readonly waiting: number;
  /** Machines created so far. */
  readonly created: number;
  /** Machines destroyed so far. */
  readonly destroyed: number;
  /** Machines returned to their first state so far. */
  readonly resets: number;
  /** Failures so far: of starts, resets, checks and ends, and machines that ended by themselves. */
  readonly failures: number;
  /** The latest of them. */
  readonly lastFailure: Error | undefined;
  /** How long calls of `acquire` waited for their machine. */
  readonly acquireMs: Percentiles;
}
