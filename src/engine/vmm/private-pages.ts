// Which pages of a private mapping are there, and which are its own: Documentation/admin-guide/mm/pagemap.rst.
import { closeSync, openSync, readSync } from "node:fs";
import { PageMap, pageLength } from "../../snapshot/page-map.ts";
import type { WorkingSet } from "../../snapshot/working-set.ts";
import type { RamPiece } from "./machine-shell.ts";

/** One 64-bit word per page of the address space. */
const entryLength = 8;
/** Bits of an entry's upper half: the page is in memory, it is swapped out, it belongs to a file. */
const PRESENT = 1 << 31;
const SWAPPED = 1 << 30;
const OF_FILE = 1 << 29;
/** Read at once; a multiple of 8. */
const chunkLength = 2 ** 20;

/**
 * The pages of a restored machine's RAM that it no longer shares with its snapshot, because they were written. The
 * kernel knows them anyway, so nothing has to be recorded while the machine runs. Regions follow each other in the map.
 */
export function privatePages(ram: readonly RamPiece[]): PageMap {
  return presentPages(ram).written;
}

/** The same pages, and those that are in memory because somebody looked at them. */
export function presentPages(ram: readonly RamPiece[]): WorkingSet {
  const total = ram.reduce((sum, { mapping }) => sum + mapping.length, 0);
  const maps = { touched: new PageMap(total / pageLength), written: new PageMap(total / pageLength) };
  const file = openSync("/proc/self/pagemap", "r");
  try {
    let first = 0;
    for (const { mapping } of ram) {
      const pages = mapping.length / pageLength;
      collect(maps, { file, position: pagemapPosition(mapping.address), first, pages });
      first += pages;
    }
    return maps;
  } finally {
    closeSync(file);
  }
}

function pagemapPosition(address: bigint): number {
  return Number(address / BigInt(pageLength)) * entryLength;
}

function collect(
  { touched, written }: WorkingSet,
  from: { readonly file: number; readonly position: number; readonly first: number; readonly pages: number },
): void {
  const { file, position, first, pages } = from;
  const length = pages * entryLength;
  const buffer = new Uint8Array(Math.min(length, chunkLength));
  const words = new Int32Array(buffer.buffer);
  for (let done = 0; done < length; done += buffer.length) {
    const count = readSync(file, buffer, 0, Math.min(buffer.length, length - done), position + done);
    if (count < Math.min(buffer.length, length - done)) throw new RangeError("The page map ended early");
    for (let entry = 0; entry < count / entryLength; entry++) {
      const upper = words[entry * 2 + 1] ?? 0;
      if ((upper & (PRESENT | SWAPPED)) === 0) continue;
      const page = first + done / entryLength + entry;
      touched.add(page);
      if ((upper & OF_FILE) === 0 || (upper & SWAPPED) !== 0) written.add(page);
    }
  }
}
