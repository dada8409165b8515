import assert from "node:assert/strict";
import { test } from "node:test";
import type { LogEntry } from "../../machine/types.ts";
import { LogLines } from "./log-lines.ts";

const entry = (stream: LogEntry["stream"], time: number, text: string): LogEntry => ({
  stream,
  time,
  bytes: Buffer.from(text),
});
const text = (lines: { bytes: Uint8Array }[]) => lines.map(({ bytes }) => Buffer.from(bytes).toString());

test("LogLines puts lines together across pieces, each stream on its own, with the time of their first byte", () => {
  const lines = new LogLines();
  assert.deepEqual(text(lines.push(entry("stdout", 1, "a\nb"))), ["a\n"]);
  assert.deepEqual(text(lines.push(entry("stderr", 2, "error\n"))), ["error\n"]);
  const finished = lines.push(entry("stdout", 3, "c\n"));
  assert.deepEqual(text(finished), ["bc\n"]);
  assert.equal(finished[0]?.time, 1);
});

test("LogLines.end() gives up what has no line break", () => {
  const lines = new LogLines();
  lines.push(entry("stdout", 1, "half"));
  assert.deepEqual(text(lines.end()), ["half"]);
  assert.deepEqual(lines.end(), []);
});

test("LogLines does not hold a line without end in memory", () => {
  const lines = new LogLines();
  const piece = entry("stdout", 1, "x".repeat(600_000));
  assert.equal(lines.push(piece).length, 0);
  assert.equal(lines.push(piece).length, 1);
});
