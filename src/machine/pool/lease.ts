import type { Machine } from "../machine.ts";
import { leaseEnded } from "./lease-ended.ts";

/**
 * What becomes of a machine that is given back.
 *
 * - `reset`: it returns to the state it was in when it was new. Where the engine cannot do that, a fresh machine takes
 *   its place, so whoever gets a machine never sees what was done in one before.
 * - `keep`: it stays as it is, files and running processes included.
 * - `discard`: it is ended, and a fresh one takes its place.
 */
export type ReleaseAction = (typeof releaseActions)[number];

export const releaseActions = ["reset", "keep", "discard"] as const;

/**
 * The right to use one machine of a pool, until it is released; `await using` releases it at the end of the block.
 *
 * @example
 * ```ts
 * import { Pool } from "supermachine";
 *
 * await using pool = new Pool({ image: "busybox", max: 1, memory: "256MiB" });
 * await using lease = await pool.acquire();
 * console.log((await lease.machine.exec(["echo", "hello"])).stdout); // hello
 * ```
 */
export class Lease<M extends object = Machine> implements AsyncDisposable {
  readonly #onRelease: (action: ReleaseAction | undefined) => void;
  #machine: M | undefined;

  /** Not for callers: `pool.acquire` makes leases. */
  constructor(machine: M, onRelease: (action: ReleaseAction | undefined) => void) {
    this.#machine = machine;
    this.#onRelease = onRelease;
  }

  /**
   * The machine, for as long as the lease lasts. Afterwards this throws, and so does every method of a machine that was
   * read from here before.
   *
   * @throws SupermachineError `LEASE_ENDED`.
   */
  get machine(): M {
    if (this.#machine === undefined) throw leaseEnded();
    return this.#machine;
  }

  /** Whether the machine may still be used. */
  get active(): boolean {
    return this.#machine !== undefined;
  }

  /**
   * Gives the machine back to its pool, which cleans it up in the background. Harmless when repeated, and after the
   * pool's end.
   *
   * @param action In place of the pool's `onRelease`, this once.
   *
   * @example
   * ```ts
   * import { Pool } from "supermachine";
   *
   * await using pool = new Pool({ image: "busybox", max: 1, memory: "256MiB" });
   * const lease = await pool.acquire();
   * await lease.release("discard"); // whatever the pool does by default, this one is not to be used again
   * console.log(lease.active); // false
   * ```
   */
  async release(action?: ReleaseAction): Promise<void> {
    if (action !== undefined && !releaseActions.includes(action))
      throw new RangeError(`There is no release action '${action}'`);
    if (this.#machine === undefined) return;
    this.#machine = undefined;
    this.#onRelease(action);
  }

  /** Releases it, as the pool's `onRelease` says. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }
}
