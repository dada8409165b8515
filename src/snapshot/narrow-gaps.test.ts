import assert from "node:assert/strict";
import { test } from "node:test";
import { narrowGaps } from "./narrow-gaps.ts";
import { PageMap } from "./page-map.ts";

test("narrowGaps() gives the narrowest gaps, as many as there are runs too many", () => {
  const map = new PageMap(100);
  for (const page of [0, 2, 10, 12, 50]) map.add(page);
  assert.deepEqual([...narrowGaps(map, 5).runs()], []);
  assert.deepEqual(
    [...narrowGaps(map, 3).runs()],
    [
      { start: 1, count: 1 },
      { start: 11, count: 1 },
    ],
  );
  assert.deepEqual([...narrowGaps(map, 2).runs()].at(1), { start: 3, count: 7 });
});
