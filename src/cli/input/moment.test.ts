import assert from "node:assert/strict";
import { test } from "node:test";
import { parseCopyArgument } from "./copy-argument.ts";
import { parseMoment } from "./moment.ts";

test("parseMoment() reads spans before now, seconds since 1970 and dates", () => {
  const options = { option: "--since", nowMs: 1_000_000_000 };
  assert.equal(parseMoment("90s", options), 1_000_000_000 - 90_000);
  assert.equal(parseMoment("1h30m", options), 1_000_000_000 - 5_400_000);
  assert.equal(parseMoment("12.5", options), 12_500);
  assert.equal(parseMoment("2026-01-31T10:00:00Z", options), Date.UTC(2026, 0, 31, 10));
  for (const text of ["", "tomorrow", "5x", "2026-99-99"])
    assert.throws(() => parseMoment(text, options), { code: "INVALID_ARGUMENT" });
});

test("parseCopyArgument() tells host paths, guest paths and streams apart as docker does", () => {
  assert.deepEqual(parseCopyArgument("-"), { kind: "stream" });
  assert.deepEqual(parseCopyArgument("web:/a:b"), { kind: "guest", machine: "web", path: "/a:b" });
  assert.deepEqual(parseCopyArgument("web:a"), { kind: "guest", machine: "web", path: "/a" });
  for (const path of ["file", "./web:a", "/x:y", "dir/x:y", "../a"])
    assert.deepEqual(parseCopyArgument(path), { kind: "host", path });
  for (const text of ["", ":x", "web:"])
    assert.throws(() => parseCopyArgument(text), { code: "INVALID_ARGUMENT" });
});
