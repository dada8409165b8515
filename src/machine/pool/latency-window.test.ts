import assert from "node:assert/strict";
import { test } from "node:test";
import { LatencyWindow } from "./latency-window.ts";

test("percentiles are durations that occurred, by nearest rank", () => {
  const window = new LatencyWindow();
  assert.deepEqual(window.percentiles(), { count: 0, p50: 0, p90: 0, p99: 0, max: 0 });
  for (let ms = 100; ms >= 1; ms--) window.add(ms);
  assert.deepEqual(window.percentiles(), { count: 100, p50: 50, p90: 90, p99: 99, max: 100 });
});

test("only the last 1,000 durations count", () => {
  const window = new LatencyWindow();
  for (let ms = 0; ms < 1_500; ms++) window.add(ms < 500 ? 9_999 : 1);
  assert.deepEqual(window.percentiles(), { count: 1_000, p50: 1, p90: 1, p99: 1, max: 1 });
});
