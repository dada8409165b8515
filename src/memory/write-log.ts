const pageLength = 4096;

/** Which pages of a range were written, a bit each, the lowest first. */
export class WriteLog {
  readonly #start: number;
  readonly #end: number;
  #bits: Uint8Array;

  /** The range is in bytes; it starts at a page. */
  constructor(start: number, length: number) {
    this.#start = start;
    this.#end = start + length;
    this.#bits = new Uint8Array(Math.ceil(length / pageLength / 8));
  }

  /** Any range: what lies outside is somebody else's. */
  add(at: number, length: number): void {
    const from = Math.max(at, this.#start);
    const to = Math.min(at + length, this.#end);
    if (from >= to) return;
    const last = Math.floor((to - 1 - this.#start) / pageLength);
    for (let page = Math.floor((from - this.#start) / pageLength); page <= last; page++)
      this.#bits[page >>> 3] = (this.#bits[page >>> 3] ?? 0) | (1 << (page & 7));
  }

  /** What was added since the last call. */
  take(): Uint8Array {
    const taken = this.#bits;
    this.#bits = new Uint8Array(taken.length);
    return taken;
  }
}
