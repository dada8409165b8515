import { type Deferred, deferred } from "./deferred.ts";

/** Bytes on their way to a slow taker, held by reference until they have been taken. */
export class SendQueue {
  #writes: { bytes: Uint8Array; readonly done: Deferred<void> }[] = [];

  get isEmpty(): boolean {
    return this.#writes.length === 0;
  }

  /** Resolves when the bytes have all been taken. */
  push(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return Promise.resolve();
    const done = deferred<void>();
    this.#writes.push({ bytes, done });
    return done.promise;
  }

  /** Up to `limit` of the next bytes, to be copied at once: their writer may reuse them afterwards. */
  take(limit: number): Uint8Array {
    const [next] = this.#writes;
    if (next === undefined || limit <= 0) return new Uint8Array(0);
    if (next.bytes.length <= limit) {
      this.#writes.shift();
      next.done.resolve();
      return next.bytes;
    }
    const taken = next.bytes.subarray(0, limit);
    next.bytes = next.bytes.subarray(limit);
    return taken;
  }

  /** Nothing of this will be sent. */
  fail(error: Error): void {
    const writes = this.#writes;
    this.#writes = [];
    for (const { done } of writes) done.reject(error);
  }
}
