// The programs that measure what PROMISES.md says: those that need no Linux guest run here, whatever the times are.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { noKvm } from "./tiny-machines.ts";

const bench = join(import.meta.dirname, "..", "..", "..", "bench", "run");

interface Row {
  readonly what: string;
  readonly value?: number;
  readonly skipped?: string;
}

function run(...words: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(bench, words, { encoding: "utf8" });
}

test("bench/run measures restores and exits", { skip: noKvm }, () => {
  const { status, stdout, stderr } = run("--json", "restore", "exits");
  assert.equal(status, 0, stderr);
  const { results } = JSON.parse(stdout) as { results: Row[] };
  assert.ok(results.length >= 10, stdout);
  for (const { what, value, skipped } of results)
    assert.ok(value !== undefined && value > 0, `${what}: ${value} ${skipped ?? ""}`);
});

test("bench/run says how it is used, and what it does not know", () => {
  const help = run("--help");
  assert.equal(help.status, 0);
  assert.match(help.stdout, /^usage: bench\/run .*\nsubjects: .*restore/);
  const subject = run("speed");
  assert.equal(subject.status, 2);
  assert.match(subject.stderr, /^bench: no subject 'speed'; there are: .*restore/);
  assert.match(run("--fast").stderr, /^bench: Unknown option '--fast'/);
});
