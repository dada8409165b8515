import assert from "node:assert/strict";
import {
  chmodSync,
  closeSync,
  cpSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import { ArrayMemory } from "../testing/array-memory.ts";
import { openSnapshot } from "./open-snapshot.ts";
import { sealOf } from "./seal.ts";
import { sha256 } from "./snapshot-files.ts";
import { snapshotFolder } from "./snapshot-folders.ts";
import type { SnapshotStore } from "./snapshot-store.ts";
import { makeSnapshot, readRuns, temporaryStore } from "./testing/snapshot-rig.ts";

const memory: ArrayMemory = new ArrayMemory(1).fill(3, 2, 1).fill(200, 1, 2);

test("every flipped bit of the manifest is refused", async (t) => {
  const { store, folder } = await snapshotIn(t);
  const path = join(folder, "manifest.json");
  const whole = readFileSync(path);
  for (let bit = 0; bit < whole.length * 8; bit += 5) {
    writeFileSync(path, flipped(whole, bit));
    assert.match(await outcome(store, folder), /^SNAPSHOT_/, `bit ${bit}`);
  }
  writeFileSync(path, whole);
  assert.equal(await outcome(store, folder), "opened");
});

test("every flipped bit of the state is refused", async (t) => {
  const { store, folder } = await snapshotIn(t);
  const path = join(folder, "state.bin");
  const whole = readFileSync(path);
  for (let bit = 0; bit < whole.length * 8; bit += 3) {
    writeFileSync(path, flipped(whole, bit));
    assert.equal(await outcome(store, folder), "SNAPSHOT_INVALID", `bit ${bit}`);
  }
});

test("a flipped bit of the memory is refused without reading it each time, in pages and in holes", async (t) => {
  for (const offset of [3 * 4096 + 5, 100 * 4096]) {
    const { store, folder } = await snapshotIn(t);
    const path = join(folder, "memory.img");
    const bytes = readFileSync(path);
    chmodSync(path, 0o600);
    bytes[offset]! ^= 1;
    writeFileSync(path, bytes);
    // Somebody who hides the time of the change cannot hide that the file was changed.
    utimesSync(path, new Date(0), new Date(0));
    assert.equal(await outcome(store, folder), "SNAPSHOT_INVALID");
  }
});

test("truncated files are refused, whatever their length", async (t) => {
  for (const name of ["manifest.json", "state.bin", "memory.img"]) {
    const { store, folder } = await snapshotIn(t);
    const path = join(folder, name);
    const whole = readFileSync(path);
    chmodSync(path, 0o600);
    for (const length of [0, 1, 4096, whole.length - 1, whole.length + 1].filter((n) => n !== whole.length)) {
      writeFileSync(path, whole);
      truncateSync(path, length);
      assert.match(await outcome(store, folder), /^SNAPSHOT_/, `${name} of ${length}`);
    }
  }
});

test("missing files, links and folders in their place are refused", async (t) => {
  for (const name of ["manifest.json", "state.bin", "memory.img"]) {
    const { store, folder } = await snapshotIn(t);
    const path = join(folder, name);
    renameSync(path, `${path}.moved`);
    assert.equal(await outcome(store, folder), "SNAPSHOT_INVALID", name);
    symlinkSync(`${path}.moved`, path);
    assert.equal(await outcome(store, folder), "SNAPSHOT_INVALID", name);
    rmSync(path);
    mkdirSync(path);
    assert.equal(await outcome(store, folder), "SNAPSHOT_INVALID", name);
  }
});

test("a copy and a lost or foreign seal cost one reading of the memory, and then are as good", async (t) => {
  const { store, folder } = await snapshotIn(t);
  const seal = join(folder, "seal.json");
  const first = readFileSync(seal, "utf8");
  for (const spoil of [
    () => rmSync(seal),
    () => writeFileSync(seal, "{}"),
    () => linkSync(join(folder, "memory.img"), join(folder, "again")),
  ]) {
    spoil();
    assert.equal(await outcome(store, folder), "opened");
    assert.match(readFileSync(seal, "utf8"), /"inode"/);
  }
  assert.notEqual(readFileSync(seal, "utf8"), first);
  const copy = temporaryStore(t);
  cpSync(store.home.root, copy.home.root, { recursive: true });
  const there = snapshotFolder(copy.home, folder.split("/").at(-1) ?? "");
  assert.equal(await outcome(copy, there), "opened");
});

test("a full verification finds what changed under an unbroken seal", async (t) => {
  const { store, folder } = await snapshotIn(t);
  const path = join(folder, "memory.img");
  const bytes = readFileSync(path);
  bytes[3 * 4096]! ^= 1;
  chmodSync(path, 0o600);
  writeFileSync(path, bytes);
  // As if the disk had lost the bit: a seal that fits the file as it is.
  const fd = openSync(path, "r");
  writeFileSync(join(folder, "seal.json"), sealOf(fd));
  closeSync(fd);
  assert.equal(await outcome(store, folder), "opened");
  assert.equal(await outcome(store, folder, "full"), "SNAPSHOT_INVALID");
});

test("a snapshot under another's id, or whose parent is gone or damaged, is refused", async (t) => {
  const { store, folder } = await snapshotIn(t);
  const renamed = join(folder, "..", "0".repeat(64));
  cpSync(folder, renamed, { recursive: true });
  assert.equal(await outcome(store, renamed), "SNAPSHOT_INVALID");

  const changed = new ArrayMemory(1).fill(3, 2, 9);
  const parent = await openSnapshot(folder, { home: store.home });
  const child = snapshotFolder(store.home, await makeSnapshot(store, changed, { parent }));
  assert.equal(await outcome(store, child), "opened");
  writeFileSync(join(folder, "state.bin"), "");
  assert.equal(await outcome(store, child), "SNAPSHOT_INVALID");
  rmSync(folder, { recursive: true });
  assert.equal(await outcome(store, child), "SNAPSHOT_INVALID");
});

test("a page map that is of another memory than the manifest says is refused", async (t) => {
  const { store, folder } = await snapshotIn(t);
  const manifest = JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8"));
  manifest.memory.pages += 1;
  const bytes = Buffer.from(JSON.stringify(manifest));
  const forged = join(folder, "..", sha256(bytes));
  cpSync(folder, forged, { recursive: true });
  writeFileSync(join(forged, "manifest.json"), bytes);
  assert.equal(await outcome(store, forged), "SNAPSHOT_INVALID");
});

async function snapshotIn(t: TestContext): Promise<{ store: SnapshotStore; folder: string }> {
  const store = temporaryStore(t);
  return { store, folder: snapshotFolder(store.home, await makeSnapshot(store, memory)) };
}

async function outcome(store: SnapshotStore, folder: string, verify?: "full"): Promise<string> {
  try {
    const opened = await openSnapshot(folder, {
      home: store.home,
      ...(verify === undefined ? {} : { verify }),
    });
    readRuns(opened.memory);
    return "opened";
  } catch (error) {
    assert.ok(error instanceof SupermachineError, String(error));
    return error.code;
  }
}

function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[bit >> 3]! ^= 1 << (bit & 7);
  return copy;
}
