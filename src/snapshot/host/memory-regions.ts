import { gpa } from "../../memory/address.ts";
import type { GuestMemory } from "../../memory/guest-memory.ts";
import { type MemoryRun, runsWithin } from "../memory-runs.ts";
import type { MemoryContent } from "./memory-content.ts";

/** A piece of a machine's RAM; start and length are whole MiB. */
export interface RamRegion {
  /** Guest-physical address. */
  readonly start: number;
  readonly length: number;
}

/** What one region is mapped from. */
export interface RegionMapping {
  readonly file: string;
  /** In the region. */
  readonly at: number;
  /** In the file. */
  readonly offset: number;
  readonly length: number;
}

/** A machine's RAM as a snapshot has it: the regions in order, without the holes between them. */
export function contentOfRegions(memory: GuestMemory, regions: readonly RamRegion[]): MemoryContent {
  return {
    length: totalLength(regions),
    view(offset, length) {
      let start = 0;
      for (const region of regions) {
        if (offset >= start && offset + length <= start + region.length) {
          // A writable view would count as written.
          const [bytes] = memory.slices(gpa(region.start + offset - start), length);
          if (bytes?.length === length) return bytes;
        }
        start += region.length;
      }
      throw new RangeError(`${length} bytes at ${offset} are not in one region of memory`);
    },
  };
}

/** For each region, in order, what to map over it. Throws RangeError when the regions are not the snapshot's memory. */
export function mappingsOfRegions(
  runs: readonly MemoryRun[],
  regions: readonly RamRegion[],
): RegionMapping[][] {
  const last = runs.at(-1);
  if (last === undefined || last.offset + last.length !== totalLength(regions))
    throw new RangeError("The regions are not as long as the snapshot's memory");
  let start = 0;
  return regions.map(({ length }) => {
    const offset = start;
    start += length;
    return runsWithin(runs, { offset, length }).map((run) => ({
      file: run.file,
      at: run.offset - offset,
      offset: run.offset,
      length: run.length,
    }));
  });
}

function totalLength(regions: readonly RamRegion[]): number {
  return regions.reduce((sum, { length }) => sum + length, 0);
}
