import type { Clock } from "../clock.ts";
import type { AdmissionGate } from "./admission-gate.ts";
import type { ReleaseAction } from "./lease.ts";

/** The numbers a pool goes by, every default filled in. */
export interface PoolSettings {
  readonly min: number;
  readonly max: number;
  readonly idleTimeoutMs: number;
  readonly acquireTimeoutMs: number;
  readonly onRelease: ReleaseAction;
  /** What each machine counts against the memory gate. */
  readonly memoryMiB: number;
}

/** What a pool does with machines, and what it shares with others; the tests have doubles. */
export interface PoolParts<M extends object> {
  create(signal: AbortSignal): Promise<M>;
  /** Resolves when the machine has ended, with how in a few words. */
  ended(machine: M): Promise<string>;
  /** Resolves when the machine answers, rejects when it does not. */
  check(machine: M): Promise<void>;
  /** Returns the machine to its first state; false when it is of a kind that cannot. */
  reset(machine: M): Promise<boolean>;
  /** Ends the machine and deletes what is left of it. */
  destroy(machine: M): Promise<void>;
  /** A handle on the machine for one lease; it is useless once revoked. */
  lend(machine: M): { readonly machine: M; revoke(): void };
  readonly clock: Clock;
  /** As `Math.random`. */
  readonly random: () => number;
  readonly starts: AdmissionGate;
  readonly memory: AdmissionGate;
}
