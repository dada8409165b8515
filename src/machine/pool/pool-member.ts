import { SupermachineError } from "../../errors/supermachine-error.ts";
import type { AdmissionTicket } from "./admission-gate.ts";
import type { Lease } from "./lease.ts";

/**
 * - `queued`: waits for host memory or for its turn to start. `starting`: is being created.
 * - `idle`: ready to be handed out. `checking`: shows that it still answers. `leased`: in somebody's hands.
 * - `resetting`: on its way back to its first state.
 * - `ending`: is being destroyed, and counts as alive until it is. `gone`: holds nothing any more.
 */
export type MemberState =
  | "queued"
  | "starting"
  | "idle"
  | "checking"
  | "leased"
  | "resetting"
  | "ending"
  | "gone";

/** Every change a member may make. A machine reaches a caller through `idle` alone, and nothing leaves `ending` alive. */
const changes: Readonly<Record<MemberState, readonly MemberState[]>> = {
  queued: ["starting", "gone"],
  starting: ["idle", "ending", "gone"],
  idle: ["leased", "checking", "ending"],
  checking: ["idle", "ending"],
  leased: ["resetting", "checking", "ending"],
  resetting: ["checking", "ending"],
  ending: ["gone"],
  gone: [],
};

/** One machine of a pool, from the wish for it to its end. */
export class PoolMember<M extends object> {
  /** Ends a creation that is under way. */
  readonly cancel: AbortController = new AbortController();
  /** Its share of the host's memory, from the queue to the end. */
  readonly memory: AdmissionTicket;
  /** Its place among the simultaneous starts; held only until it is up. */
  turn: AdmissionTicket | undefined;
  lease: Lease<M> | undefined;
  /** It ended in its lessee's hands. */
  dead = false;
  /** When it became idle last. */
  idleSince = 0;
  /** When it was last known to answer. */
  answeredAt = 0;
  #state: MemberState = "queued";
  #machine: M | undefined;

  constructor(memory: AdmissionTicket) {
    this.memory = memory;
  }

  get state(): MemberState {
    return this.#state;
  }

  /** Throws `INTERNAL` for a change that must not happen. */
  become(state: MemberState): void {
    if (!changes[this.#state].includes(state))
      throw new SupermachineError("INTERNAL", `A pooled machine cannot go from ${this.#state} to ${state}`);
    this.#state = state;
  }

  /** There is one from the end of `starting` on. */
  get machine(): M {
    if (this.#machine === undefined)
      throw new SupermachineError("INTERNAL", `A pooled machine that is ${this.#state} was used`);
    return this.#machine;
  }

  set machine(machine: M) {
    this.#machine = machine;
  }
}
