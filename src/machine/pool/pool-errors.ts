import { SupermachineError } from "../../errors/supermachine-error.ts";
import type { PoolStats } from "./pool-stats.ts";

export function poolTimeout(timeoutMs: number, stats: PoolStats): SupermachineError {
  const { idle, leased, starting, resetting, ending, waiting } = stats;
  return new SupermachineError("POOL_TIMEOUT", `No machine of the pool became free within ${timeoutMs} ms`, {
    hint:
      leased > 0
        ? `${leased} are leased: release them sooner, or raise the pool's max`
        : "Give it more time with acquireTimeoutMs; the cause, if there is one, is the pool's latest failure",
    cause: stats.lastFailure,
    data: { timeoutMs, idle, leased, starting, resetting, ending, waiting },
  });
}

/** @param reason Why the pool was closed, when somebody gave one. */
export function poolClosed(reason?: unknown): SupermachineError {
  return new SupermachineError("POOL_CLOSED", "The pool is closed", { cause: reason });
}

export function acquireAborted(reason: unknown): SupermachineError {
  return new SupermachineError("ABORTED", "The wait for a machine of the pool was aborted", {
    cause: reason,
  });
}

/** A machine that did not finish what the pool asked of it. */
export function tooSlow(what: string, timeoutMs: number): SupermachineError {
  return new SupermachineError("TIMEOUT", `The ${what} of a pooled machine took longer than ${timeoutMs} ms`);
}

export function endedInPool(how: string): SupermachineError {
  return new SupermachineError("MACHINE_EXITED", `A machine of the pool ended by itself: ${how}`);
}
