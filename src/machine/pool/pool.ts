import { SupermachineError } from "../../errors/supermachine-error.ts";
import { hostClock } from "../clock.ts";
import { lendMachine, type Machine } from "../machine.ts";
import { describeExit } from "../machine-end.ts";
import type { Lease } from "./lease.ts";
import { PoolCore } from "./pool-core.ts";
import { type PoolOptions, resolvePool } from "./pool-options.ts";
import type { PoolParts } from "./pool-parts.ts";
import type { PoolStats } from "./pool-stats.ts";
import { isResettable } from "./resettable.ts";

/** Options of `acquire`. */
export interface AcquireOptions {
  /** Gives up waiting. */
  signal?: AbortSignal | undefined;
  /** How long to wait; Infinity: for ever. Default: the pool's `acquireTimeoutMs`. */
  timeoutMs?: number | undefined;
}

/**
 * Machines that are ready before they are needed, and used one after the other.
 *
 * A pool starts `min` machines in advance and at most `max`. `acquire` lends one out; whoever waits is served in the
 * order of coming. A machine that is given back is returned to its first state (`onRelease`). One that has ended, does
 * not answer or cannot be reset is replaced, never handed out. Close the pool when it is no longer needed: its machines
 * keep the process alive.
 *
 * @example
 * ```ts
 * import { Pool } from "supermachine";
 *
 * await using pool = new Pool({ image: "busybox", memory: "256MiB", max: 1 });
 * {
 *   await using lease = await pool.acquire();
 *   const { stdout } = await lease.machine.exec(["echo", "hello"]);
 *   console.log(stdout); // hello
 * }
 * console.log(pool.stats().leased); // 0
 * ```
 */
export class Pool implements AsyncDisposable {
  readonly #core: PoolCore<Machine>;

  /**
   * Starts the first machines in the background; `acquire` reports what goes wrong with them.
   *
   * @throws SupermachineError `INVALID_ARGUMENT`.
   *
   * @example
   * ```ts
   * import { Machine, Pool } from "supermachine";
   *
   * await using pool = new Pool({
   *   create: ({ signal }) => Machine.create("busybox", { memory: "256MiB", labels: { role: "worker" }, signal }),
   *   memory: "256MiB", // what one machine counts against the host's memory
   *   max: 1,
   *   onRelease: "keep",
   * });
   * await using lease = await pool.acquire();
   * console.log((await lease.machine.info()).labels["role"]); // worker
   * ```
   */
  constructor(options: PoolOptions) {
    const { settings, ...shared } = resolvePool(options);
    this.#core = new PoolCore(settings, {
      ...machineParts,
      ...shared,
      clock: hostClock,
      random: Math.random,
    });
    this.#closeOnAbort(options.signal);
  }

  /**
   * Lends out a machine, as soon as there is one.
   *
   * @throws SupermachineError `POOL_TIMEOUT`, `POOL_CLOSED`, `ABORTED`; and, when a machine had to be started for this
   * call and could not be, the errors of `Machine.create`.
   *
   * @example
   * ```ts
   * import { Pool } from "supermachine";
   *
   * await using pool = new Pool({ image: "busybox", memory: "256MiB", max: 1 });
   * await using lease = await pool.acquire({ timeoutMs: 240_000 });
   * console.log(lease.active, pool.stats().leased); // true 1
   * ```
   */
  acquire(options: AcquireOptions = {}): Promise<Lease> {
    return this.#core.acquire(options);
  }

  /**
   * What the pool is doing, and has done.
   *
   * @example
   * ```ts
   * import { Pool } from "supermachine";
   *
   * await using pool = new Pool({ image: "busybox", min: 0 });
   * const { idle, leased, acquireMs } = pool.stats();
   * console.log(idle, leased, acquireMs.p50); // 0 0 0
   * ```
   */
  stats(): PoolStats {
    return this.#core.stats();
  }

  /**
   * Lets the pool come to its end: nothing new is acquired, those who wait are served, leases last until they are
   * released. Resolves when every machine has ended.
   *
   * @example
   * ```ts
   * import { Pool } from "supermachine";
   *
   * const pool = new Pool({ image: "busybox", min: 0 });
   * await pool.drain();
   * await pool.acquire().catch((error) => console.log(error.code)); // POOL_CLOSED
   * ```
   */
  drain(): Promise<void> {
    return this.#core.drain();
  }

  /**
   * Ends everything at once: those who wait get `POOL_CLOSED`, leases end, machines are killed. Resolves when every
   * machine has ended; may be called twice.
   *
   * @throws The failure to end a machine, if there was one; every other has ended all the same.
   *
   * @example
   * ```ts
   * import { Pool } from "supermachine";
   *
   * const pool = new Pool({ image: "busybox", min: 0 });
   * await pool.close();
   * ```
   */
  close(): Promise<void> {
    return this.#core.close();
  }

  /** The same as `close`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#core.close();
  }

  #closeOnAbort(signal: AbortSignal | undefined): void {
    if (signal === undefined) return;
    const abort = (): void => {
      // A failure is for those who call close themselves; here nobody listens.
      this.#core.close(signal.reason).catch(() => {});
    };
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) abort();
    const forget = (): void => signal.removeEventListener("abort", abort);
    this.#core.done.then(forget, forget);
  }
}

/** How a pool deals with real machines. */
const machineParts: Pick<PoolParts<Machine>, "ended" | "check" | "reset" | "destroy" | "lend"> = {
  ended: async (machine) => describeExit(await machine.wait()),
  // Answered by the agent alone, so it works with any image; any answer will do.
  check: async (machine) => void (await machine.files.exists("/")),
  async reset(machine) {
    if (!isResettable(machine)) return false;
    try {
      await machine.reset();
      return true;
    } catch (error) {
      if (error instanceof SupermachineError && error.code === "UNSUPPORTED") return false;
      throw error;
    }
  },
  async destroy(machine) {
    // Nobody misses what is in it, so it need not be stopped in an orderly way.
    await machine.kill();
    await machine[Symbol.asyncDispose]();
    // Of a machine in another process, disposing leaves the record.
    await machine.remove();
  },
  lend: lendMachine,
};
