import assert from "node:assert/strict";
import { test } from "node:test";
import { PageMap } from "../../snapshot/page-map.ts";
import { copyInPasses } from "./copy-in-passes.ts";

/** How many pages each pass copied, and how many are left, of a memory in which so many change during each pass. */
async function passes(first: number | undefined, changes: readonly number[]): Promise<unknown[]> {
  const copied: (number | undefined)[] = [];
  const left = await copyInPasses(first === undefined ? undefined : pages(first), {
    copy: async (map) => void copied.push(map?.count),
    takeChanged: () => pages(changes[copied.length - 1] ?? assert.fail("one pass too many")),
  });
  return [...copied, "left", left.count];
}

function pages(count: number): PageMap {
  const map = new PageMap(100_000);
  map.add(0, count);
  return map;
}

test("one pass is enough where little changes meanwhile", async () => {
  assert.deepEqual(await passes(10_000, [256]), [10_000, "left", 256]);
});

test("what has changed is copied again while it is less and less, three passes in all", async () => {
  assert.deepEqual(await passes(10_000, [3000, 100]), [10_000, 3000, "left", 100]);
  assert.deepEqual(await passes(10_000, [3000, 1000, 900]), [10_000, 3000, 1000, "left", 900]);
});

test("a guest that writes as fast as it is copied is not run after", async () => {
  assert.deepEqual(await passes(10_000, [10_000]), [10_000, "left", 10_000]);
  assert.deepEqual(await passes(10_000, [3000, 3000]), [10_000, 3000, "left", 3000]);
});

test("a first pass over all pages is followed by one over those that changed", async () => {
  assert.deepEqual(await passes(undefined, [90_000, 10]), [undefined, 90_000, "left", 10]);
});
