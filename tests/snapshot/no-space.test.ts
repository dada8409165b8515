// A disk that fills up while a snapshot is written, imported or exported.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { SupermachineError } from "../../src/errors/supermachine-error.ts";
import { exportSnapshotFile } from "../../src/snapshot/host/export-snapshot.ts";
import { importSnapshotFile } from "../../src/snapshot/host/import-snapshot.ts";
import { SnapshotStore } from "../../src/snapshot/host/snapshot-store.ts";
import { makeSnapshot, temporaryStore } from "../../src/snapshot/host/testing/snapshot-rig.ts";
import { ArrayMemory } from "../../src/snapshot/testing/array-memory.ts";
import { Home } from "../../src/storage/home.ts";

const skip = process.getuid?.() === 0 ? false : "only root can mount a small file system";
const large = new ArrayMemory(8).fill(0, 2048, 1);

test("writing a snapshot that does not fit is NO_SPACE and leaves nothing", { skip }, async (t) => {
  const store = new SnapshotStore(new Home(smallDisk(t)));
  await assert.rejects(makeSnapshot(store, large), isNoSpace);
  assert.deepEqual(readdirSync(store.home.temporary), []);
  assert.deepEqual(await store.list(), []);
  await makeSnapshot(store, new ArrayMemory(8).fill(0, 10, 1));
});

test("importing what does not fit is NO_SPACE and leaves nothing", { skip }, async (t) => {
  const full = temporaryStore(t);
  await using lease = await full.use(await makeSnapshot(full, large));
  for (const compression of ["none", "gzip"] as const) {
    const archive = join(full.home.root, compression);
    await exportSnapshotFile(lease.snapshot, archive, { compression });
    const home = new Home(smallDisk(t));
    await assert.rejects(importSnapshotFile(archive, { home }), isNoSpace);
    assert.deepEqual(readdirSync(home.temporary), []);
  }
});

test("exporting to a full disk is NO_SPACE and leaves nothing", { skip }, async (t) => {
  const store = temporaryStore(t);
  await using lease = await store.use(await makeSnapshot(store, large));
  const folder = join(smallDisk(t), "out");
  mkdirSync(folder);
  await assert.rejects(exportSnapshotFile(lease.snapshot, join(folder, "archive")), isNoSpace);
  assert.deepEqual(readdirSync(folder), []);
});

/** Four MiB. */
function smallDisk(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "no-space-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=4m", "none", folder]);
  t.after(() => {
    execFileSync("umount", [folder]);
    rmSync(folder, { recursive: true });
  });
  return folder;
}

function isNoSpace(error: unknown): boolean {
  return error instanceof SupermachineError && error.code === "NO_SPACE";
}
