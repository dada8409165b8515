import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { releaseActions } from "./lease.ts";
import { simulatePool } from "./testing/pool-simulation.ts";

test("500 acquisitions in which everything fails now and then break no rule and leave nothing behind", async () => {
  for (const onRelease of releaseActions) {
    const { broken, served, refused, pool } = await simulatePool({
      seed: 7,
      min: 2,
      max: 6,
      onRelease,
      starts: 3,
      roomFor: 5,
      clients: 9,
      cycles: 500,
      trouble: 0.1,
    });
    assert.deepEqual(broken, []);
    // It has to have been the trouble it was meant to be, and most have to have got their machine all the same.
    assert.ok(served > 250, `${served} served`);
    for (const code of ["BOOT_FAILED", "ABORTED", "POOL_TIMEOUT"]) assert.ok((refused[code] ?? 0) > 0, code);
    assert.ok(pool.stats().failures > 50);
  }
});

test("whatever the numbers and the trouble, the rules of a pool hold", async () => {
  const options = fc
    .record({
      seed: fc.nat(),
      max: fc.integer({ min: 1, max: 8 }),
      min: fc.nat({ max: 8 }),
      onRelease: fc.constantFrom(...releaseActions),
      starts: fc.integer({ min: 1, max: 8 }),
      roomFor: fc.integer({ min: 1, max: 10 }),
      clients: fc.integer({ min: 1, max: 12 }),
      cycles: fc.constant(60),
      trouble: fc.double({ min: 0, max: 0.6, noNaN: true }),
    })
    .map((given) => ({ ...given, min: Math.min(given.min, given.max) }));
  await fc.assert(
    fc.asyncProperty(options, async (given) => {
      const { broken } = await simulatePool(given);
      assert.deepEqual(broken, []);
    }),
    { numRuns: 60 },
  );
});
