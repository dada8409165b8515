import assert from "node:assert/strict";
import { test } from "node:test";
import { gpa } from "../../memory/address.ts";
import { HeapMemory } from "../../memory/heap-memory.ts";
import { memoryRuns } from "../memory-runs.ts";
import { PageMap } from "../page-map.ts";
import { contentOfRegions, mappingsOfRegions } from "./memory-regions.ts";
import { makeSnapshot, readRuns, temporaryStore } from "./testing/snapshot-rig.ts";

const MiB = 2 ** 20;
const regions = [
  { start: 0, length: 2 * MiB },
  { start: 2 ** 32, length: MiB },
];

test("the regions of a machine's memory follow each other in a snapshot", async (t) => {
  const memory = new HeapMemory(regions.map(({ start, length }) => ({ start: gpa(start), length })));
  memory.write(gpa(2 * MiB - 1), Uint8Array.of(1));
  memory.write(gpa(2 ** 32), Uint8Array.of(2));
  const content = contentOfRegions(memory, regions);
  assert.equal(content.length, 3 * MiB);
  assert.throws(() => content.view(2 * MiB - 4096, 8192), RangeError);
  const store = temporaryStore(t);
  await using lease = await store.use(await makeSnapshot(store, content));
  const saved = readRuns(lease.snapshot.memory);
  assert.deepEqual([...saved.subarray(2 * MiB - 2, 2 * MiB + 2)], [0, 1, 2, 0]);
});

test("mappingsOfRegions() says what each region is mapped from", () => {
  const child = new PageMap(768);
  child.add(500, 20);
  const runs = memoryRuns([
    { file: "old", pages: new PageMap(768) },
    { file: "new", pages: child },
  ]);
  assert.deepEqual(mappingsOfRegions(runs, regions), [
    [
      { file: "old", at: 0, offset: 0, length: 500 * 4096 },
      { file: "new", at: 500 * 4096, offset: 500 * 4096, length: 12 * 4096 },
    ],
    [
      { file: "new", at: 0, offset: 2 * MiB, length: 8 * 4096 },
      { file: "old", at: 8 * 4096, offset: 520 * 4096, length: 248 * 4096 },
    ],
  ]);
  assert.throws(() => mappingsOfRegions(runs, regions.slice(1)), RangeError);
});
