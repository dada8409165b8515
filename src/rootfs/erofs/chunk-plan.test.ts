import assert from "node:assert/strict";
import { test } from "node:test";
import { planChunks } from "./chunk-plan.ts";
import { file } from "./testing/make-tree.ts";

test("planChunks() leaves files without worthwhile holes alone", () => {
  assert.equal(planChunks(file({ size: 1 << 20, extents: [[0, 1 << 20]] })), undefined);
  assert.equal(planChunks(file({ size: 70_000, extents: [[0, 10_000]] })), undefined);
  // Half of each block is a hole: no block can be left out.
  const extents = Array.from({ length: 256 }, (_, index): [number, number] => [index * 4096, 2048]);
  assert.equal(planChunks(file({ size: 1 << 20, extents })), undefined);
});

test("planChunks() stores a file that is one hole in one chunk of up to 8 TiB", () => {
  assert.deepEqual(planChunks(file({ size: 2 ** 43, extents: [] })), {
    chunkBits: 43,
    chunkCount: 1,
    blocks: 0,
  });
  assert.deepEqual(planChunks(file({ size: 2 ** 44, extents: [] })), {
    chunkBits: 43,
    chunkCount: 2,
    blocks: 0,
  });
});

test("planChunks() takes small chunks where data is scattered", () => {
  const extents = Array.from({ length: 64 }, (_, index): [number, number] => [index * 65_536, 4096]);
  assert.deepEqual(planChunks(file({ size: 64 * 65_536, extents })), {
    chunkBits: 12,
    chunkCount: 1024,
    blocks: 64,
  });
});
