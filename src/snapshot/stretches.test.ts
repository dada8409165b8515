import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { PageMap } from "./page-map.ts";
import { stretches } from "./stretches.ts";

test("stretches() takes in every page once, in order, and reaches over no block's end and no wide gap", () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.nat(199), { maxLength: 100 }),
      fc.integer({ min: 1, max: 70 }),
      fc.nat(5),
      (numbers, blockPages, maxGap) => {
        const map = new PageMap(200);
        for (const page of numbers) map.add(page);
        const found: number[] = [];
        let end = -1;
        for (const { start, count } of stretches(map, { blockPages, maxGap })) {
          const last = start + count - 1;
          assert.equal(Math.floor(start / blockPages), Math.floor(last / blockPages));
          assert.ok(start >= end && map.has(start) && map.has(last));
          // Two that could be one are one.
          assert.ok(end < 0 || start - end > maxGap || start % blockPages < start - end + 1);
          let gap = 0;
          for (let page = start; page <= last; page++) {
            gap = map.has(page) ? 0 : gap + 1;
            assert.ok(gap <= maxGap);
            if (gap === 0) found.push(page);
          }
          end = start + count;
        }
        assert.deepEqual(
          found,
          numbers.toSorted((a, b) => a - b),
        );
      },
    ),
  );
});
