// A snapshot's maker that is killed with SIGKILL before any one of its file operations.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { SnapshotStore } from "../../src/snapshot/host/snapshot-store.ts";
import { makeSnapshot, readRuns } from "../../src/snapshot/host/testing/snapshot-rig.ts";
import { ArrayMemory } from "../../src/snapshot/testing/array-memory.ts";
import { Home } from "../../src/storage/home.ts";
import { sweepTemporary } from "../../src/storage/temporary.ts";

const program = new URL("./writer.process.js", import.meta.url).pathname;
const memory = new ArrayMemory(1).fill(0, 3, 1).fill(200, 5, 2);

test("a maker that is killed at any step leaves a whole snapshot or none, and stops nobody", async (t) => {
  const root = mkdtempSync(join(tmpdir(), "killed-writer-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const whole = await run(join(root, "whole"), 0);
  const steps = Number(whole.split(" ")[0]);
  assert.ok(steps > 20 && steps < 100, whole);
  const numbers = Array.from({ length: steps }, (_, index) => index + 1);
  // Two at a time: each is a process.
  for (let at = 0; at < numbers.length; at += 2)
    await Promise.all(numbers.slice(at, at + 2).map((step) => killAt(join(root, `${step}`), step)));
});

test("two processes that want the same key make it once", async (t) => {
  const root = mkdtempSync(join(tmpdir(), "two-makers-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  const [first = "", second = ""] = await Promise.all([run(root, 0), run(root, 0)]);
  assert.equal(first.split(" ")[1], second.split(" ")[1]);
  assert.equal((await new SnapshotStore(new Home(root)).list()).length, 1);
});

async function killAt(root: string, step: number): Promise<void> {
  assert.equal(await run(root, step), "SIGKILL", `step ${step}`);
  const home = new Home(root);
  const store = new SnapshotStore(home);
  for (const { id } of await store.list()) {
    await using lease = await store.use(id, { verify: "full" });
    assert.equal(Buffer.compare(readRuns(lease.snapshot.memory), memory.bytes), 0, `step ${step}`);
  }
  await using lease = await store.keyed("key", { make: () => makeSnapshot(store, memory) });
  await store.name(lease.snapshot.id, "mine");
  await sweepTemporary(home);
  assert.deepEqual(readdirSync(home.temporary), [], `step ${step}`);
  assert.ok((await store.list()).length <= 2, `step ${step}`);
}

/** What it prints, or the signal that ended it. */
async function run(root: string, step: number): Promise<string> {
  try {
    return (await promisify(execFile)(process.execPath, [program, root, `${step}`], { timeout: 60_000 }))
      .stdout;
  } catch (error) {
    if (error instanceof Error && "signal" in error && typeof error.signal === "string") return error.signal;
    throw error;
  }
}
