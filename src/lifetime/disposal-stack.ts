/**
 * `DisposableStack` for Node 20, which has `using` (compiled) but not the class. Collects what a constructor
 * acquires, so that a failure halfway releases it again, and is moved into the object as the last step.
 *
 * @example
 * ```ts
 * using undo = new DisposalStack();
 * const first = undo.use(acquire());
 * undo.defer(() => forget(first));
 * return new Owner(first, undo.move());
 * ```
 */
export class DisposalStack implements Disposable {
  #releases: (() => void)[] = [];
  #disposed = false;

  get disposed(): boolean {
    return this.#disposed;
  }

  /** Owns the value; returns it. */
  use<Value extends Disposable>(value: Value): Value {
    this.defer(() => value[Symbol.dispose]());
    return value;
  }

  /** Calls this on disposal, before everything that was added earlier. */
  defer(release: () => void): void {
    if (this.#disposed) throw new ReferenceError("The stack is already disposed of");
    this.#releases.push(release);
  }

  /** A new stack with everything in this one, which is left empty and disposed of. */
  move(): DisposalStack {
    if (this.#disposed) throw new ReferenceError("The stack is already disposed of");
    const moved = new DisposalStack();
    moved.#releases = this.#releases;
    this.#releases = [];
    this.#disposed = true;
    return moved;
  }

  /** Releases all, last first. What fails does not keep the rest from being released; the first failure is thrown. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    const failures: unknown[] = [];
    for (const release of this.#releases.splice(0).reverse()) {
      try {
        release();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length === 1) throw failures[0];
    if (failures.length > 1) throw new AggregateError(failures, "Several resources could not be released");
  }
}
