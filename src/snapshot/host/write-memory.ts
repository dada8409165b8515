import type { FileHandle } from "node:fs/promises";
import { PageMap, type PageRun, pageLength } from "../page-map.ts";
import { blockLength, isZero, type MemoryContent } from "./memory-content.ts";

/** Where the bytes of a parent's memory come from. */
export interface BaseMemory {
  /** Fills `into`; the range does not cross a boundary of 1 MiB. */
  read(offset: number, into: Uint8Array): Promise<void>;
}

export interface WriteMemoryOptions {
  /** Only pages that differ from this memory are written; without it, pages that are not zero. */
  readonly base?: BaseMemory | undefined;
  /** The only pages that can differ; all by default. */
  readonly candidates?: PageMap | undefined;
}

/**
 * Writes a memory's pages to their places in an empty file, leaving holes, and returns which pages the file speaks
 * about. A page that is zero, but not so in the base, is among them as a hole.
 */
export async function writeMemory(
  file: FileHandle,
  content: MemoryContent,
  { base, candidates }: WriteMemoryOptions,
): Promise<PageMap> {
  const pages = content.length / pageLength;
  await file.truncate(content.length);
  const map = new PageMap(pages);
  const before = new Uint8Array(base === undefined ? 0 : blockLength);
  // One block is written while the next one is looked through.
  let writing: Promise<unknown> = Promise.resolve();
  for (let at = 0; at < content.length; at += blockLength) {
    const first = at / pageLength;
    if (candidates !== undefined && !candidates.hasAny(first, blockPages)) continue;
    const block = content.view(at, blockLength);
    await base?.read(at, before);
    const runs = changedRuns(block, { first, before: base === undefined ? undefined : before, candidates });
    for (const { start, count } of runs) map.add(first + start, count);
    await writing;
    writing = Promise.all(runs.map((run) => writeRun(file, { at, block, run })));
    // A failure is thrown by the next await; until then it must not count as unhandled.
    writing.catch(() => undefined);
  }
  await writing;
  if (base !== undefined) await closeGaps(file, content, map);
  return map;
}

const blockPages = blockLength / pageLength;

/** Pages are looked at one by one only where a piece of this length has something in it. */
const pieceLength = 16 * pageLength;

/** In pages from the block's start. */
function changedRuns(
  block: Uint8Array,
  options: { first: number; before: Uint8Array | undefined; candidates: PageMap | undefined },
): PageRun[] {
  const { first, before, candidates } = options;
  const same = (offset: number, length: number): boolean => {
    const bytes = block.subarray(offset, offset + length);
    return before === undefined
      ? isZero(bytes)
      : Buffer.compare(bytes, before.subarray(offset, offset + length)) === 0;
  };
  if (same(0, blockLength)) return [];
  const map = new PageMap(blockPages);
  for (let piece = 0; piece < blockLength; piece += pieceLength) {
    if (same(piece, pieceLength)) continue;
    for (let offset = piece; offset < piece + pieceLength; offset += pageLength) {
      const page = offset / pageLength;
      if (candidates !== undefined && !candidates.has(first + page)) continue;
      if (!same(offset, pageLength)) map.add(page);
    }
  }
  return [...map.runs()];
}

async function writeRun(
  file: FileHandle,
  { at, block, run }: { at: number; block: Uint8Array; run: PageRun },
): Promise<void> {
  const start = run.start * pageLength;
  const bytes = block.subarray(start, start + run.count * pageLength);
  // What became zero stays a hole.
  if (isZero(bytes)) return;
  await writeFully(file, at + start, bytes);
}

/** Writes all of the bytes at this offset. */
export async function writeFully(file: FileHandle, position: number, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

/**
 * Every run is a mapping of its own in a restored machine, and a process may have 65,530 (vm.max_map_count). Beyond
 * this many, the narrowest gaps are filled with the pages as they are.
 */
const maxRuns = 512;

async function closeGaps(file: FileHandle, content: MemoryContent, map: PageMap): Promise<void> {
  const runs = [...map.runs()];
  const gaps = runs.slice(1).map((run, index) => {
    const { start = 0, count = 0 } = runs[index] ?? {};
    return { start: start + count, count: run.start - start - count };
  });
  const narrowest = gaps.sort((a, b) => a.count - b.count).slice(0, Math.max(0, runs.length - maxRuns));
  for (const { start, count } of narrowest) {
    map.add(start, count);
    for (let page = start; page < start + count; page++) {
      const bytes = content.view(page * pageLength, pageLength);
      if (!isZero(bytes)) await writeFully(file, page * pageLength, bytes);
    }
  }
}
