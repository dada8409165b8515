import { deferred } from "../../streams/deferred.ts";

/** One place in a gate's queue, and afterwards what is held behind it. */
export interface AdmissionTicket {
  /** Resolves when the ticket is let in, or was released before that. */
  readonly settled: Promise<void>;
  /** Gives back what is held, or leaves the queue; harmless when repeated. */
  release(): void;
}

interface Waiting {
  readonly weight: number;
  readonly letIn: () => void;
}

/**
 * Admits so much weight at a time, strictly first come, first served: a heavy request is not overtaken by light ones
 * behind it, so it cannot starve. With weight 1 it bounds a number, with MiB as weight it bounds memory.
 */
export class AdmissionGate {
  readonly limit: number;
  readonly #queue = new Set<Waiting>();
  #held = 0;

  /** @param limit The most weight admitted at once; Infinity admits everything. */
  constructor(limit: number) {
    this.limit = limit;
  }

  /** Weight admitted now. */
  get held(): number {
    return this.#held;
  }

  /** Requests in the queue. */
  get waiting(): number {
    return this.#queue.size;
  }

  /** Queues for admission. A weight above the limit would wait forever: refused as a RangeError. */
  request(weight: number): AdmissionTicket {
    if (!(weight >= 0 && weight <= this.limit))
      throw new RangeError(`A weight of ${weight} never passes a gate of ${this.limit}`);
    let state: "waiting" | "admitted" | "released" = "waiting";
    const settled = deferred<void>();
    const letIn = (): void => {
      state = "admitted";
      this.#held += weight;
      settled.resolve();
    };
    const entry: Waiting = { weight, letIn };
    this.#queue.add(entry);
    this.#admit();
    const release = (): void => {
      if (state === "released") return;
      if (state === "admitted") this.#held -= weight;
      state = "released";
      this.#queue.delete(entry);
      settled.resolve();
      this.#admit();
    };
    return { settled: settled.promise, release };
  }

  #admit(): void {
    for (const entry of this.#queue) {
      if (this.#held + entry.weight > this.limit) return;
      this.#queue.delete(entry);
      entry.letIn();
    }
  }
}
