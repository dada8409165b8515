// The four ways in which GNU tar stores files with holes.
// https://www.gnu.org/software/tar/manual/html_section/Sparse-Formats.html

import type { Fail } from "./archive-error.ts";
import type { ByteSource, ByteString, Extent } from "./byte-source.ts";
import { byteStringFrom } from "./byte-string.ts";
import type { PaxRecords } from "./pax-records.ts";
import { blockBytes } from "./tar-header.ts";
import { parseDecimal, parseNumericField } from "./tar-number.ts";

/** Runs of data in a file, [offset, length] flattened; what is between them are holes. */
export type SparseRuns = readonly number[];

/** Where a sparse file's stored bytes are, and what it may cost. */
export interface SparseContext {
  readonly source: ByteSource;
  /** Start and end of the entry's stored bytes in the source. */
  readonly start: number;
  readonly end: number;
  readonly maxRuns: number;
  readonly fail: Fail;
}

/** Format 0.0, 0.1 or 1.0; undefined when the records describe no sparse file. `start` is where the data begins. */
export function paxSparseRuns(
  records: PaxRecords,
  context: SparseContext,
): { runs: SparseRuns; start: number } | undefined {
  const { values, sparseRuns } = records;
  const major = values.get("GNU.sparse.major") ?? "";
  const minor = values.get("GNU.sparse.minor") ?? "";
  const map = values.get("GNU.sparse.map") ?? "";
  if (major === "1" && minor === "0") return storedRuns(context);
  const version0 = major === "0" && (minor === "0" || minor === "1");
  if (!version0 && (major !== "" || minor !== "")) context.fail("uses an unknown sparse format");
  if (map !== "") return { runs: decimals(map.split(","), context), start: context.start };
  if (sparseRuns.length > 0) return { runs: decimals(sparseRuns, context), start: context.start };
  return version0 ? { runs: [], start: context.start } : undefined;
}

/** Old GNU: four runs in the header block itself, 21 in each block that follows. `start` moves behind those. */
export function oldGnuSparseRuns(
  header: Uint8Array,
  context: SparseContext,
): { runs: SparseRuns; realSize: number; start: number } {
  const { source, end, fail } = context;
  const realSize =
    parseNumericField(header.subarray(483, 495)) ?? fail("has a sparse size that is no number");
  const runs: number[] = [];
  let start = context.start;
  let more = appendRuns(runs, { table: header.subarray(386, 482), context }) && header[482] !== 0;
  const block = new Uint8Array(blockBytes);
  while (more) {
    if (start + blockBytes > end) fail("has a sparse map that goes past the end of the archive");
    source.read(start, block);
    start += blockBytes;
    more = appendRuns(runs, { table: block.subarray(0, 504), context }) && block[504] !== 0;
  }
  return { runs, realSize, start };
}

/** Turns checked runs into extents. `end - start` must be exactly the data that the runs describe. */
export function sparseExtents(
  runs: SparseRuns,
  context: SparseContext & { readonly size: number },
): Extent[] {
  const { source, start, end, size, fail } = context;
  const extents: Extent[] = [];
  let position = start;
  let previousEnd = 0;
  for (let at = 0; at + 1 < runs.length; at += 2) {
    const offset = runs[at] ?? 0;
    const length = runs[at + 1] ?? 0;
    if (offset < previousEnd || offset + length > size)
      fail("has a sparse map with runs out of order or range");
    previousEnd = offset + length;
    if (length > 0) extents.push({ offset, length, source, position });
    position += length;
    if (position > end) fail("has a sparse map that describes more data than is stored");
  }
  if (position !== end) fail("has a sparse map that describes less data than is stored");
  return extents;
}

/** Format 1.0: the map is decimal text in front of the data, in whole blocks. */
function storedRuns(context: SparseContext): { runs: SparseRuns; start: number } {
  const { source, end, maxRuns, fail } = context;
  const block = new Uint8Array(blockBytes);
  let start = context.start;
  let pending = "";
  let wanted = 1;
  const numbers: number[] = [];
  while (numbers.length < wanted) {
    if (start + blockBytes > end) fail("has a sparse map that goes past its data");
    source.read(start, block);
    start += blockBytes;
    const lines = (pending + byteStringFrom(block)).split("\n");
    pending = lines.pop() ?? "";
    if (pending.length > blockBytes && numbers.length + lines.length < wanted)
      fail("has a malformed sparse map");
    for (const line of lines) {
      if (numbers.length === wanted) break;
      numbers.push(natural(line, fail));
      if (numbers.length === 1) wanted = 1 + 2 * (numbers[0] ?? 0);
      if (wanted > 1 + 2 * maxRuns) fail("has a sparse map with too many runs");
    }
  }
  return { runs: numbers.slice(1), start };
}

function decimals(texts: readonly ByteString[], { maxRuns, fail }: SparseContext): SparseRuns {
  if (texts.length % 2 !== 0) fail("has a sparse map with an odd count of numbers");
  if (texts.length > 2 * maxRuns) fail("has a sparse map with too many runs");
  return texts.map((text) => natural(text, fail));
}

function natural(text: ByteString, fail: Fail): number {
  const value = parseDecimal(text);
  return value === undefined || value < 0 ? fail("has a sparse map with a malformed number") : value;
}

/** False when the table ended before its last slot. */
function appendRuns(
  runs: number[],
  { table, context }: { table: Uint8Array; context: SparseContext },
): boolean {
  for (let at = 0; at + 24 <= table.length; at += 24) {
    if (table[at] === 0) return false;
    for (const from of [at, at + 12]) {
      const value = parseNumericField(table.subarray(from, from + 12));
      if (value === undefined || value < 0) return context.fail("has a sparse map with a malformed number");
      runs.push(value);
    }
    if (runs.length > 2 * context.maxRuns) context.fail("has a sparse map with too many runs");
  }
  return true;
}
