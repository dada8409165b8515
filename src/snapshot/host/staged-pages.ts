import { type PageMap, pageLength } from "../page-map.ts";
import { stretches } from "../stretches.ts";
import { blockPages, type MemoryContent } from "./memory-content.ts";

/** Some pages of a memory, as they were when this was made. */
export class StagedPages implements MemoryContent {
  readonly length: number;
  readonly pages: PageMap;
  /** By offset. */
  readonly #stretches: Map<number, Uint8Array> = new Map();

  constructor(content: MemoryContent, pages: PageMap) {
    this.length = content.length;
    this.pages = pages;
    const bytes = Buffer.allocUnsafeSlow(pages.count * pageLength);
    let done = 0;
    for (const { start, count } of stretches(pages, { blockPages })) {
      const staged = bytes.subarray(done, done + count * pageLength);
      staged.set(content.view(start * pageLength, staged.length));
      this.#stretches.set(start * pageLength, staged);
      done += staged.length;
    }
  }

  /** Of whole stretches of `pages` alone. */
  view(offset: number, length: number): Uint8Array {
    const staged = this.#stretches.get(offset);
    if (staged?.length !== length) throw new RangeError(`${length} bytes at ${offset} are not staged`);
    return staged;
  }
}
