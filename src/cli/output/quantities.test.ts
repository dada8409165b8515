import assert from "node:assert/strict";
import { test } from "node:test";
import { formatAge, formatBytes, formatDuration } from "./quantities.ts";

test("formatBytes() keeps three digits and never shows 1000 of a unit", () => {
  const cases: [number, string][] = [
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1.00 kB"],
    [1234, "1.23 kB"],
    [9_996, "10.0 kB"],
    [45_600_000, "45.6 MB"],
    [999_499, "999 kB"],
    [999_600, "1.00 MB"],
    [7.05e9, "7.05 GB"],
  ];
  for (const [bytes, text] of cases) assert.equal(formatBytes(bytes), text);
});

test("formatDuration() picks the unit that a person would", () => {
  const cases: [number, string][] = [
    [4.2, "4 ms"],
    [999.7, "1.0 s"],
    [1234, "1.2 s"],
    [59_990, "1m00s"],
    [185_000, "3m05s"],
    [7_800_000, "2h10m"],
  ];
  for (const [milliseconds, text] of cases) assert.equal(formatDuration(milliseconds), text);
});

test("formatAge() speaks in docker's words, also for a clock that went back", () => {
  const cases: [number, string][] = [
    [-5000, "Less than a second ago"],
    [1000, "1 second ago"],
    [59_000, "59 seconds ago"],
    [61_000, "About a minute ago"],
    [150_000, "2 minutes ago"],
    [3_600_000, "About an hour ago"],
    [36_000_000, "10 hours ago"],
    [86_400_000 * 3, "3 days ago"],
    [86_400_000 * 21, "3 weeks ago"],
    [86_400_000 * 100, "3 months ago"],
    [86_400_000 * 800, "2 years ago"],
  ];
  for (const [milliseconds, text] of cases) assert.equal(formatAge(milliseconds), text);
});
