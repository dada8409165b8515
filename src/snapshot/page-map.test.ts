import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { memoryRuns, runsWithin } from "./memory-runs.ts";
import { PageMap, pageLength, pageMapCodec } from "./page-map.ts";

const pages = 150;
const ranges = fc.array(
  fc.tuple(fc.integer({ min: 0, max: pages - 1 }), fc.integer({ min: 0, max: 70 })).map(([start, count]) => ({
    start,
    count: Math.min(count, pages - start),
  })),
  { maxLength: 8 },
);

test("a page map is a set of numbers: membership, count and runs agree with one", () => {
  fc.assert(
    fc.property(ranges, fc.nat(pages - 1), fc.nat(70), (added, from, length) => {
      const map = mapOf(added);
      const set = setOf(added);
      for (let page = 0; page < pages; page++) assert.equal(map.has(page), set.has(page), `${page}`);
      assert.equal(map.count, set.size);
      const runs = [...map.runs()];
      assert.deepEqual(setOf(runs), set);
      for (const [index, run] of runs.entries())
        assert.ok(
          run.count > 0 && (index === 0 || run.start > runs[index - 1]!.start + runs[index - 1]!.count),
        );
      const count = Math.min(length, pages - from);
      const any = Array.from({ length: count }, (_, at) => set.has(from + at)).includes(true);
      assert.equal(map.hasAny(from, count), any);
      assert.deepEqual(pageMapCodec.parse(pageMapCodec.encode(map)).words(), map.words());
    }),
  );
});

test("page maps are joined, and pages are taken out of them", () => {
  fc.assert(
    fc.property(ranges, ranges, (added, deleted) => {
      const map = new PageMap(pages);
      map.addAll(mapOf(added));
      const set = setOf(added);
      for (const { start, count } of deleted) map.delete(start, count);
      for (const page of setOf(deleted)) set.delete(page);
      assert.deepEqual(setOf([...map.runs()]), set);
      map.addAll(mapOf(deleted));
      assert.deepEqual(setOf([...map.runs()]), new Set([...set, ...setOf(deleted)]));
    }),
  );
  assert.throws(() => new PageMap(10).addAll(new PageMap(11)), RangeError);
});

test("a page map takes pages from a bitmap, lowest bit first", () => {
  const map = new PageMap(40);
  map.addBitmap(16, Uint8Array.of(0b1000_0001, 0, 0b0000_0110));
  assert.deepEqual(
    [...map.runs()],
    [
      { start: 16, count: 1 },
      { start: 23, count: 1 },
      { start: 33, count: 2 },
    ],
  );
  assert.throws(() => map.addBitmap(32, Uint8Array.of(0, 1)), RangeError);
});

test("a page map refuses pages outside its memory", () => {
  assert.throws(() => new PageMap(10).add(9, 2), RangeError);
  assert.throws(() => new PageMap(10).add(-1), RangeError);
});

test("pageMapCodec refuses wrong lengths and pages after the end", () => {
  const bytes = pageMapCodec.encode(PageMap.full(33));
  assert.throws(() => pageMapCodec.parse(bytes.subarray(0, 8)), /wrong length/);
  assert.throws(() => pageMapCodec.parse(new Uint8Array(3)), /wrong length/);
  bytes[8] = 3;
  assert.throws(() => pageMapCodec.parse(bytes), /after the end/);
});

test("memoryRuns() takes every page from the youngest layer that speaks about it, without gaps", () => {
  fc.assert(
    fc.property(fc.array(ranges, { maxLength: 4 }), (younger) => {
      const layers = [new PageMap(pages), ...younger.map(mapOf)].map((map, index) => ({
        file: `${index}`,
        pages: map,
      }));
      const runs = memoryRuns(layers);
      let end = 0;
      for (const { file, offset, length } of runs) {
        assert.equal(offset, end);
        assert.ok(length > 0);
        end = offset + length;
        for (let at = offset; at < end; at += pageLength) {
          const expected = layers.findLast((layer) => layer.pages.has(at / pageLength))?.file ?? "0";
          assert.equal(file, expected);
        }
      }
      assert.equal(end, pages * pageLength);
    }),
  );
});

test("runsWithin() cuts runs to a region", () => {
  const overlay = new PageMap(8);
  overlay.add(2, 2);
  const runs = memoryRuns([
    { file: "old", pages: PageMap.full(8) },
    { file: "new", pages: overlay },
  ]);
  assert.deepEqual(runsWithin(runs, { offset: 3 * pageLength, length: 2 * pageLength }), [
    { file: "new", offset: 3 * pageLength, length: pageLength },
    { file: "old", offset: 4 * pageLength, length: pageLength },
  ]);
});

function mapOf(added: readonly { start: number; count: number }[]): PageMap {
  const map = new PageMap(pages);
  for (const { start, count } of added) map.add(start, count);
  return map;
}

function setOf(added: readonly { start: number; count: number }[]): Set<number> {
  return new Set(added.flatMap(({ start, count }) => Array.from({ length: count }, (_, at) => start + at)));
}
