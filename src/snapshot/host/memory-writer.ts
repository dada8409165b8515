import { type FileHandle, open } from "node:fs/promises";
import type { MemoryRun } from "../memory-runs.ts";
import { narrowGaps } from "../narrow-gaps.ts";
import { PageMap, pageLength } from "../page-map.ts";
import { stretches } from "../stretches.ts";
import { blockLength, blockPages, isZero, type MemoryContent, zeros } from "./memory-content.ts";
import { RunReader } from "./run-reader.ts";
import { StagedPages } from "./staged-pages.ts";
import { writeFully } from "./write-fully.ts";

export interface MemoryWriterOptions {
  /** Of the memory, in bytes. */
  readonly length: number;
  /** Where the memory lies that the new one is based on: the file speaks about pages that differ from it, or are not zero without it. */
  readonly base?: readonly MemoryRun[] | undefined;
}

/**
 * Writes a memory's pages to their places in a new file, leaving holes. In one go while the memory stands still, or in passes
 * while it changes: a pass may find a page half changed, as long as that page is among the candidates of the next one.
 * Whatever the passes before have left, a page is after its last pass as if that had been the only one.
 */
export class MemoryWriter implements AsyncDisposable {
  readonly file: FileHandle;
  readonly #base: RunReader | undefined;
  /** What the file speaks about. A page that is zero, but not so in the base, is among them as a hole. */
  readonly #pages: PageMap;
  /** Where the file may have something other than a hole. Goes by what was decided on a page, not by another look at it. */
  readonly #filled: PageMap;
  #staged: StagedPages | undefined;

  private constructor(file: FileHandle, { length, base }: MemoryWriterOptions) {
    this.file = file;
    this.#base = base && new RunReader(base);
    this.#pages = new PageMap(length / pageLength);
    this.#filled = new PageMap(length / pageLength);
  }

  /** Makes the file, which must not exist. */
  static async create(path: string, options: MemoryWriterOptions): Promise<MemoryWriter> {
    const file = await open(path, "wx", 0o600);
    try {
      await file.truncate(options.length);
      return new MemoryWriter(file, options);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** One pass, over all pages or over the only ones that can differ from what the file says of them. */
  async copy(content: MemoryContent, candidates: PageMap = PageMap.full(this.#pages.pages)): Promise<void> {
    await this.#copy(content, candidates, maxGap);
  }

  /** The last pass, as a copy in memory that `finish` writes: the content may change as soon as this has returned. */
  stage(content: MemoryContent, candidates: PageMap): void {
    this.#staged = new StagedPages(content, candidates);
  }

  /** Completes the file, and returns which pages it speaks about. */
  async finish(): Promise<PageMap> {
    if (this.#staged !== undefined) await this.#copy(this.#staged, this.#staged.pages, 0);
    if (this.#base !== undefined) await this.#closeGaps(this.#base);
    return this.#pages;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#base?.[Symbol.asyncDispose]();
    await this.file.close();
  }

  async #copy(content: MemoryContent, candidates: PageMap, gap: number): Promise<void> {
    const before = new Uint8Array(this.#base === undefined ? 0 : blockLength);
    // One stretch is written while the next one is looked through.
    let writing: Promise<unknown> = Promise.resolve();
    try {
      for (const { start, count } of stretches(candidates, { blockPages, maxGap: gap })) {
        const bytes = content.view(start * pageLength, count * pageLength);
        const base = this.#base && before.subarray(0, bytes.length);
        await (base === undefined ? turn() : this.#base?.read(start * pageLength, base));
        const found = this.#look({ start, bytes, base }, candidates);
        await writing;
        writing = this.#write(start, bytes, found);
        // A failure is thrown by the next await; until then it must not count as unhandled.
        writing.catch(() => undefined);
      }
      await writing;
    } finally {
      // The system reads the memory until then, and it may go when we have failed.
      await writing.catch(() => undefined);
    }
  }

  /** Decides on each candidate of a stretch; in pages from its start. */
  #look(stretch: Stretch, candidates: PageMap): Found {
    const { start, bytes } = stretch;
    const found = { differing: new PageMap(blockPages), emptied: new PageMap(blockPages) };
    const isKnown = (page: number, count: number): boolean =>
      this.#pages.hasAny(start + page, count) || this.#filled.hasAny(start + page, count);
    const count = bytes.length / pageLength;
    if (!isKnown(0, count) && isSame(stretch, 0, count)) return found;
    for (let piece = 0; piece < count; piece += piecePages) {
      const end = Math.min(piece + piecePages, count);
      if (!isKnown(piece, end - piece) && isSame(stretch, piece, end - piece)) continue;
      for (let page = piece; page < end; page++) {
        if (!candidates.has(start + page)) continue;
        if (!isSame(stretch, page, 1)) {
          this.#pages.add(start + page);
          found.differing.add(page);
        } else {
          this.#pages.delete(start + page);
          if (this.#filled.has(start + page)) found.emptied.add(page);
        }
      }
    }
    return found;
  }

  async #write(first: number, bytes: Uint8Array, { differing, emptied }: Found): Promise<void> {
    const writes: Promise<void>[] = [];
    for (const { start, count } of differing.runs()) {
      const run = bytes.subarray(start * pageLength, (start + count) * pageLength);
      // What became zero stays a hole.
      if (!this.#filled.hasAny(first + start, count) && isZero(run)) continue;
      this.#filled.add(first + start, count);
      writes.push(writeFully(this.file, (first + start) * pageLength, run));
    }
    // Nothing may be left of what was there before it went.
    for (const { start, count } of emptied.runs()) {
      this.#filled.delete(first + start, count);
      writes.push(writeFully(this.file, (first + start) * pageLength, zeros.subarray(0, count * pageLength)));
    }
    await Promise.all(writes);
  }

  /** What lies between runs is as in the base. */
  async #closeGaps(base: RunReader): Promise<void> {
    const gaps = narrowGaps(this.#pages, maxRuns);
    for (const { start, count } of stretches(gaps, { blockPages })) {
      const bytes = new Uint8Array(count * pageLength);
      await base.read(start * pageLength, bytes);
      if (!isZero(bytes)) await writeFully(this.file, start * pageLength, bytes);
    }
    this.#pages.addAll(gaps);
  }
}

/** Every run is a mapping of its own in a restored machine, and a process may have 65,530 (vm.max_map_count). */
const maxRuns = 512;

/** Pages between two candidates that are looked at with them rather than read around: a read costs as much. */
const maxGap = 15;

/** Pages are looked at one by one only where a piece of so many has something in it. */
const piecePages = 16;

/** Pages that follow each other, within a block. */
interface Stretch {
  readonly start: number;
  readonly bytes: Uint8Array;
  /** The same range of the base; without one, pages are compared with zeros. */
  readonly base: Uint8Array | undefined;
}

interface Found {
  readonly differing: PageMap;
  /** As in the base again, or zero, and the file has something else there. */
  readonly emptied: PageMap;
}

function isSame({ bytes, base }: Stretch, page: number, count: number): boolean {
  const [start, end] = [page * pageLength, (page + count) * pageLength];
  const now = bytes.subarray(start, end);
  return base === undefined ? isZero(now) : Buffer.compare(now, base.subarray(start, end)) === 0;
}

/** Lets the devices of running machines have their turn. */
function turn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}
