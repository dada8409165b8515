import { BALLOON_PAGE } from "./config.ts";

/** A piece of the guest's RAM. */
export interface RamRegion {
  readonly start: number;
  readonly length: number;
}

/** One region's pages, from `first` to before `end`. */
interface Part {
  readonly first: number;
  readonly end: number;
  readonly bits: Uint8Array;
}

/** A set of the RAM's pages of 4 KiB, by page frame number: one bit each. */
export class PageSet {
  readonly #parts: readonly Part[];
  #size = 0;

  constructor(ram: readonly RamRegion[]) {
    this.#parts = ram.map(({ start, length }) => {
      const first = Math.ceil(start / BALLOON_PAGE);
      const end = Math.floor((start + length) / BALLOON_PAGE);
      return { first, end, bits: new Uint8Array(Math.ceil(Math.max(0, end - first) / 8)) };
    });
  }

  get size(): number {
    return this.#size;
  }

  /** Whether the page is RAM at all. */
  covers(page: number): boolean {
    return this.#part(page) !== undefined;
  }

  has(page: number): boolean {
    const part = this.#part(page);
    if (part === undefined) return false;
    const index = page - part.first;
    return ((part.bits[index >> 3] ?? 0) & (1 << (index & 7))) !== 0;
  }

  /** False when it was there already, or is no RAM. */
  add(page: number): boolean {
    return this.#change(page, true);
  }

  /** False when it was not there. */
  delete(page: number): boolean {
    return this.#change(page, false);
  }

  clear(): void {
    for (const { bits } of this.#parts) bits.fill(0);
    this.#size = 0;
  }

  #change(page: number, present: boolean): boolean {
    const part = this.#part(page);
    if (part === undefined || this.has(page) === present) return false;
    const index = page - part.first;
    part.bits[index >> 3] = (part.bits[index >> 3] ?? 0) ^ (1 << (index & 7));
    this.#size += present ? 1 : -1;
    return true;
  }

  #part(page: number): Part | undefined {
    return this.#parts.find(({ first, end }) => page >= first && page < end);
  }
}
