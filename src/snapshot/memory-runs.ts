import { type PageMap, pageLength } from "./page-map.ts";

/** One snapshot's part in a memory: its file, and the pages that the file speaks about. */
export interface MemoryLayer {
  /** Path of the memory file. */
  readonly file: string;
  readonly pages: PageMap;
}

/**
 * A piece of memory and the file it lies in. `offset` is the same in both: memory files are as long as the memory and
 * have every page in its place. The regions of a machine's memory follow each other in it without the address
 * space's holes.
 */
export interface MemoryRun {
  readonly file: string;
  readonly offset: number;
  readonly length: number;
}

/**
 * Where each byte of a memory lies, given the snapshots that it is made of, oldest first: ascending, without gaps or
 * overlaps. The oldest file serves for everything that no younger one speaks about; its holes are zeros.
 */
export function memoryRuns(layers: readonly MemoryLayer[]): MemoryRun[] {
  const [oldest, ...younger] = layers;
  if (oldest === undefined) throw new RangeError("A memory has at least one layer");
  const { pages } = oldest.pages;
  let runs: Run[] = [{ file: oldest.file, start: 0, end: pages }];
  for (const layer of younger) {
    if (layer.pages.pages !== pages) throw new RangeError("The layers of a memory have different lengths");
    runs = overlay(runs, layer);
  }
  return runs.map(({ file, start, end }) => ({
    file,
    offset: start * pageLength,
    length: (end - start) * pageLength,
  }));
}

/** The part of `runs` in `[offset, offset + length)`: what one region of a machine's memory is mapped from. */
export function runsWithin(
  runs: readonly MemoryRun[],
  range: { offset: number; length: number },
): MemoryRun[] {
  const end = range.offset + range.length;
  return runs
    .filter((run) => run.offset < end && run.offset + run.length > range.offset)
    .map((run) => {
      const start = Math.max(run.offset, range.offset);
      return { file: run.file, offset: start, length: Math.min(run.offset + run.length, end) - start };
    });
}

/** In pages. */
interface Run {
  readonly file: string;
  readonly start: number;
  readonly end: number;
}

/** Both lists ascend, so one walk over both does. */
function overlay(below: readonly Run[], { file, pages }: MemoryLayer): Run[] {
  const result: Run[] = [];
  let next = 0;
  let covered = 0;
  const takeBelow = (upTo: number): void => {
    for (let run = below[next]; run !== undefined && covered < upTo; run = below[next]) {
      const end = Math.min(run.end, upTo);
      if (end > covered) result.push({ file: run.file, start: covered, end });
      covered = Math.max(covered, end);
      if (run.end <= upTo) next++;
    }
  };
  for (const { start, count } of pages.runs()) {
    takeBelow(start);
    result.push({ file, start, end: start + count });
    covered = start + count;
  }
  takeBelow(pages.pages);
  return result;
}
