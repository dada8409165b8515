import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { gzipSync } from "node:zlib";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import { member, tarOf } from "../../tar/testing/tar-builder.ts";
import { ArrayMemory } from "../testing/array-memory.ts";
import { exportSnapshot, exportSnapshotFile } from "./export-snapshot.ts";
import { importSnapshotFile } from "./import-snapshot.ts";
import { materializeMemory } from "./materialize-memory.ts";
import type { OpenedSnapshot } from "./open-snapshot.ts";
import type { SnapshotLease, SnapshotStore } from "./snapshot-store.ts";
import { makeSnapshot, readRuns, temporaryStore } from "./testing/snapshot-rig.ts";

const memoryOf = {
  parent: new ArrayMemory(4).fill(0, 300, 1).fill(1000, 2, 2),
  child: new ArrayMemory(4).fill(0, 290, 1).fill(700, 2, 3).fill(1000, 1, 2).fill(1023, 1, 4),
};

for (const compression of ["none", "gzip"] as const)
  test(`an exported snapshot arrives with what it is based on (compression: ${compression})`, async (t) => {
    const { store, lease } = await family(t);
    const path = join(store.home.root, "archive");
    await exportSnapshotFile(lease.snapshot, path, { compression });
    const other = temporaryStore(t);
    assert.equal(await importSnapshotFile(path, { home: other.home }), lease.snapshot.id);
    await using arrived = await other.use(lease.snapshot.id, { verify: "full" });
    assert.deepEqual(arrived.snapshot.components, lease.snapshot.components);
    assert.equal(Buffer.compare(readRuns(arrived.snapshot.memory), memoryOf.child.bytes), 0);
    assert.equal((await other.list()).length, 2);
    assert.deepEqual(readdirSync(other.home.temporary), []);
    // What is there already is no obstacle.
    await importSnapshotFile(path, { home: other.home });
  });

test("an archive is the same each time, about as long as its pages, and other tools can read it", async (t) => {
  const { store, lease } = await family(t);
  const path = join(store.home.root, "archive.tar");
  await exportSnapshotFile(lease.snapshot, path);
  assert.deepEqual(await bytesOf(lease.snapshot), readFileSync(path));
  const pages = lease.snapshot.pages.count + (lease.snapshot.ancestors[0]?.pages.count ?? 0);
  assert.ok(statSync(path).size < pages * 4096 + 20 * 1024);
  const folder = join(store.home.root, "unpacked");
  execFileSync("mkdir", [folder]);
  execFileSync("tar", ["-xf", path, "-C", folder]);
  const unpacked = readFileSync(join(folder, lease.snapshot.ancestors[0]?.id ?? "", "memory.img"));
  assert.equal(Buffer.compare(unpacked, memoryOf.parent.bytes), 0);
});

test("an archive with any flipped bit, or cut anywhere, is refused or changes nothing", async (t) => {
  const { lease } = await family(t);
  const whole = await bytesOf(lease.snapshot);
  const other = temporaryStore(t);
  const path = join(other.home.root, "archive");
  const step = Math.floor(whole.length / 60);
  for (let at = 0; at < whole.length; at += step) {
    const flipped = Uint8Array.from(whole);
    flipped[at]! ^= 1 << (at % 8);
    writeFileSync(path, flipped);
    const result = await attempt(path, other);
    // Names of owners and the like do not matter.
    assert.ok(result.startsWith("refused") || result === lease.snapshot.id, result);
    writeFileSync(path, whole.subarray(0, at));
    assert.match(await attempt(path, other), /^refused/, `cut at ${at}`);
    assert.deepEqual(readdirSync(other.home.temporary), []);
  }
  assert.ok([0, 2].includes((await other.list()).length));
  for (const { id } of await other.list())
    await (await other.use(id, { verify: "full" }))[Symbol.asyncDispose]();
});

test("archives that are something else are refused", async (t) => {
  const store = temporaryStore(t);
  const path = join(store.home.root, "archive");
  const index = (snapshot: string) => JSON.stringify({ format: 1, snapshot });
  const archives: Record<string, Uint8Array> = {
    empty: new Uint8Array(),
    text: Buffer.from("not a tar"),
    "another tar": tarOf(member({ name: "etc/passwd", data: "root" })),
    "an index alone": tarOf(member({ name: "supermachine-snapshot.json", data: index("0".repeat(64)) })),
    "an index of a later format": tarOf(member({ name: "supermachine-snapshot.json", data: '{"format":2}' })),
    "a link as its index": tarOf(
      member({ name: "supermachine-snapshot.json", typeflag: "2", linkName: "/" }),
    ),
    "a path that leads out": tarOf(
      member({ name: "supermachine-snapshot.json", data: index("0".repeat(64)) }),
      member({ name: "../../manifest.json", data: "{}" }),
    ),
    "damaged gzip": gzipSync(Buffer.alloc(10_000)).subarray(0, 20),
  };
  for (const [name, bytes] of Object.entries(archives)) {
    writeFileSync(path, bytes);
    assert.match(await attempt(path, store), /^refused/, name);
  }
  assert.match(await attempt(join(store.home.root, "nowhere"), store), /^refused INVALID_ARGUMENT/);
});

test("an archive that would fill the disk is not unpacked beyond the limit", async (t) => {
  const store = temporaryStore(t);
  const path = join(store.home.root, "bomb");
  writeFileSync(path, gzipSync(Buffer.alloc(20 * 2 ** 20)));
  await assert.rejects(
    importSnapshotFile(path, { home: store.home, maxLength: 2 ** 20 }),
    (error) => error instanceof SupermachineError && /longer than 1048576/.test(error.message),
  );
});

test("materializeMemory() makes one file of all layers, and never over another", async (t) => {
  const { store, lease } = await family(t);
  const path = join(store.home.root, "memory");
  await materializeMemory(lease.snapshot, path);
  assert.equal(Buffer.compare(readFileSync(path), memoryOf.child.bytes), 0);
  assert.ok(statSync(path).blocks * 512 < 2 * 2 ** 20);
  await assert.rejects(materializeMemory(lease.snapshot, path), /EEXIST/);
  assert.equal(statSync(path).size, memoryOf.child.length);
});

async function family(t: TestContext): Promise<{ store: SnapshotStore; lease: SnapshotLease }> {
  const store = temporaryStore(t);
  const parent = await store.use(await makeSnapshot(store, memoryOf.parent));
  const child = await makeSnapshot(store, memoryOf.child, { parent: parent.snapshot });
  return { store, lease: await store.use(child) };
}

async function bytesOf(snapshot: OpenedSnapshot): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of exportSnapshot(snapshot)) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function attempt(path: string, { home }: SnapshotStore): Promise<string> {
  try {
    return await importSnapshotFile(path, { home });
  } catch (error) {
    assert.ok(error instanceof SupermachineError, String(error));
    return `refused ${error.code}`;
  }
}
