/** `AsyncDisposableStack` for Node 20: as `DisposalStack`, for what takes time to release; one after the other. */
export class AsyncDisposalStack implements AsyncDisposable {
  #releases: (() => unknown)[] = [];
  #disposed = false;

  get disposed(): boolean {
    return this.#disposed;
  }

  /** Owns the value; returns it. */
  use<Value extends AsyncDisposable | Disposable>(value: Value): Value {
    this.defer(() => (Symbol.asyncDispose in value ? value[Symbol.asyncDispose]() : value[Symbol.dispose]()));
    return value;
  }

  /** Calls (and awaits) this on disposal, before everything that was added earlier. */
  defer(release: () => unknown): void {
    if (this.#disposed) throw new ReferenceError("The stack is already disposed of");
    this.#releases.push(release);
  }

  /** A new stack with everything in this one, which is left empty and disposed of. */
  move(): AsyncDisposalStack {
    if (this.#disposed) throw new ReferenceError("The stack is already disposed of");
    const moved = new AsyncDisposalStack();
    moved.#releases = this.#releases;
    this.#releases = [];
    this.#disposed = true;
    return moved;
  }

  /** Releases all, last first. What fails does not keep the rest from being released; the first failure is thrown. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    const failures: unknown[] = [];
    for (const release of this.#releases.splice(0).reverse()) {
      try {
        await release();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length === 1) throw failures[0];
    if (failures.length > 1) throw new AggregateError(failures, "Several resources could not be released");
  }
}
