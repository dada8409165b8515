/** One step of a machine's start, in milliseconds. */
export interface EnginePhase {
  readonly name: string;
  readonly ms: number;
}

/** Takes the time of steps that follow each other: a mark ends one, and begins the next. */
export class PhaseClock {
  readonly #phases: EnginePhase[] = [];
  #last: number = performance.now();

  mark(name: string): void {
    const now = performance.now();
    this.#phases.push({ name, ms: now - this.#last });
    this.#last = now;
  }

  get phases(): readonly EnginePhase[] {
    return [...this.#phases];
  }
}
