import assert from "node:assert/strict";
import { chmodSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import type { Home } from "../../storage/home.ts";
import { ArrayMemory } from "../testing/array-memory.ts";
import { OpenedSnapshots } from "./opened-snapshots.ts";
import { snapshotFolder } from "./snapshot-folders.ts";
import { makeSnapshot, temporaryStore } from "./testing/snapshot-rig.ts";

const memory: ArrayMemory = new ArrayMemory(1).fill(3, 2, 1);

test("what was found whole is not read again", async (t) => {
  const { opened, home, folder } = await openedSnapshot(t);
  const first = await opened.open(folder, { home });
  assert.equal(await opened.open(folder, { home }), first);
  assert.notEqual(await opened.open(folder, { home, verify: "full" }), first);
});

for (const name of ["manifest.json", "state.bin", "memory.img"])
  test(`a change of ${name} is noticed, also when its time was set back`, async (t) => {
    const { opened, home, folder } = await openedSnapshot(t);
    await opened.open(folder, { home });
    const path = join(folder, name);
    const bytes = readFileSync(path);
    bytes[bytes.length - 1]! ^= 1;
    chmodSync(path, 0o600);
    writeFileSync(path, bytes);
    utimesSync(path, 0, 0);
    await assert.rejects(opened.open(folder, { home }), isSnapshotError);
  });

test("one that was removed is not found", async (t) => {
  const { opened, home, folder } = await openedSnapshot(t);
  await opened.open(folder, { home });
  rmSync(folder, { recursive: true });
  await assert.rejects(opened.open(folder, { home }), isSnapshotError);
});

async function openedSnapshot(
  t: TestContext,
): Promise<{ opened: OpenedSnapshots; home: Home; folder: string }> {
  const store = temporaryStore(t);
  const id = await makeSnapshot(store, memory);
  return { opened: new OpenedSnapshots(), home: store.home, folder: snapshotFolder(store.home, id) };
}

function isSnapshotError(error: unknown): boolean {
  return error instanceof SupermachineError && error.code.startsWith("SNAPSHOT_");
}
