import { invalidSnapshot } from "./snapshot-error.ts";
import type { StateCodec } from "./state-codec.ts";

/** Bytes of a page, the unit in which memory files are kept; that of x86-64. */
export const pageLength = 4096;

/** Consecutive pages. */
export interface PageRun {
  readonly start: number;
  readonly count: number;
}

/** A set of pages of a memory, by number. */
export class PageMap {
  /** Of the memory. */
  readonly pages: number;
  /** One bit a page, the lowest first; whole 32-bit words. */
  readonly #words: Uint32Array;

  constructor(pages: number, words: Uint32Array = new Uint32Array(Math.ceil(pages / 32))) {
    if (words.length !== Math.ceil(pages / 32))
      throw new RangeError(`${words.length} words for ${pages} pages`);
    this.pages = pages;
    this.#words = words;
  }

  /** A map of all pages. */
  static full(pages: number): PageMap {
    const map = new PageMap(pages);
    map.add(0, pages);
    return map;
  }

  get count(): number {
    let count = 0;
    for (const word of this.#words) count += bitCount(word);
    return count;
  }

  has(page: number): boolean {
    return (((this.#words[page >>> 5] ?? 0) >>> (page & 31)) & 1) === 1;
  }

  /** Whether any of these pages is in the set. */
  hasAny(start: number, count: number): boolean {
    for (let page = start; page < start + count; page++) {
      if ((page & 31) === 0 && start + count - page >= 32) {
        if (this.#words[page >>> 5] !== 0) return true;
        page += 31;
      } else if (this.has(page)) return true;
    }
    return false;
  }

  add(start: number, count = 1): void {
    if (!(start >= 0 && count >= 0 && start + count <= this.pages))
      throw new RangeError(`No ${count} pages from ${start} in ${this.pages}`);
    for (let page = start; page < start + count; page++) {
      if ((page & 31) === 0 && start + count - page >= 32) {
        this.#words[page >>> 5] = 0xffff_ffff;
        page += 31;
      } else this.#words[page >>> 5] = (this.#words[page >>> 5] ?? 0) | (1 << (page & 31));
    }
  }

  delete(start: number, count = 1): void {
    for (let page = start; page < start + count; page++)
      this.#words[page >>> 5] = (this.#words[page >>> 5] ?? 0) & ~(1 << (page & 31));
  }

  /** Adds the pages of another map of the same memory. */
  addAll(other: PageMap): void {
    if (other.pages !== this.pages) throw new RangeError(`A map of ${other.pages} pages for ${this.pages}`);
    for (let index = 0; index < this.#words.length; index++)
      this.#words[index] = (this.#words[index] ?? 0) | (other.#words[index] ?? 0);
  }

  /** Adds the pages whose bits are set, lowest bit first: a dirty log's. The first bit is of page `start`. */
  addBitmap(start: number, bitmap: Uint8Array): void {
    for (let index = 0; index < bitmap.length; index++)
      for (let rest = bitmap[index] ?? 0; rest !== 0; rest &= rest - 1)
        this.add(start + index * 8 + (31 - Math.clz32(rest & -rest)));
  }

  /** Ascending, not touching each other. */
  *runs(): Generator<PageRun, void, undefined> {
    let start = -1;
    for (let page = 0; page < this.pages; page++) {
      const word = this.#words[page >>> 5] ?? 0;
      // A whole word that changes nothing: most are.
      if ((page & 31) === 0 && word === (start < 0 ? 0 : 0xffff_ffff)) {
        page += 31;
        continue;
      }
      const present = ((word >>> (page & 31)) & 1) === 1;
      if (present && start < 0) start = page;
      if (!present && start >= 0) {
        yield { start, count: page - start };
        start = -1;
      }
    }
    if (start >= 0) yield { start, count: this.pages - start };
  }

  /** The words themselves, not a copy. */
  words(): Uint32Array {
    return this.#words;
  }
}

/** Of the pages that a snapshot's own memory file speaks about. */
export const pageMapCodec: StateCodec<PageMap> = {
  id: "page-map",
  version: 1,
  migrations: [],
  encode(map) {
    const words = map.words();
    const view = new DataView(new ArrayBuffer(4 + words.length * 4));
    view.setUint32(0, map.pages, true);
    for (let index = 0; index < words.length; index++) view.setUint32(4 + index * 4, words[index] ?? 0, true);
    return new Uint8Array(view.buffer);
  },
  parse(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const pages = bytes.length < 4 ? 0 : view.getUint32(0, true);
    const length = Math.ceil(pages / 32);
    if (pages === 0 || bytes.length !== 4 + length * 4)
      throw invalidSnapshot("its page map has a wrong length");
    const words = Uint32Array.from({ length }, (_, index) => view.getUint32(4 + index * 4, true));
    if (pages % 32 !== 0 && (words[length - 1] ?? 0) >>> (pages % 32) !== 0)
      throw invalidSnapshot("its page map has pages after the end");
    return new PageMap(pages, words);
  },
};

function bitCount(word: number): number {
  let rest = word - ((word >>> 1) & 0x5555_5555);
  rest = (rest & 0x3333_3333) + ((rest >>> 2) & 0x3333_3333);
  return Math.imul((rest + (rest >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}
