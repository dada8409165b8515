import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff } from "./backoff.ts";

test("each failure in a row waits twice as long as the one before, up to half a minute", () => {
  const backoff = new Backoff(() => 1);
  const delays = Array.from({ length: 12 }, () => {
    backoff.failed(1_000);
    return backoff.until - 1_000;
  });
  assert.deepEqual(delays, [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000, 30_000]);
});

test("chance takes up to half of the time off", () => {
  const backoff = new Backoff(() => 0);
  backoff.failed(0);
  assert.equal(backoff.until, 50);
});

test("a success, and a long time without failures, start it anew", () => {
  const backoff = new Backoff(() => 1);
  backoff.failed(0);
  backoff.failed(0);
  backoff.succeeded();
  assert.ok(backoff.until < 0);
  backoff.failed(0);
  assert.equal(backoff.until, 100);
  backoff.failed(60_001);
  assert.equal(backoff.until, 60_101);
});
