import assert from "node:assert/strict";
import { existsSync, readdirSync, statSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { AsyncDisposalStack } from "../../lifetime/async-disposal-stack.ts";
import { PageMap, pageLength } from "../page-map.ts";
import { ArrayMemory } from "../testing/array-memory.ts";
import { itemsFolder } from "./snapshot-folders.ts";
import type { SnapshotStore } from "./snapshot-store.ts";
import { describeSnapshot, makeSnapshot, readRuns, temporaryStore } from "./testing/snapshot-rig.ts";

test("a snapshot comes back as it was saved: state, memory and what it says about itself", async (t) => {
  const store = temporaryStore(t);
  const memory = new ArrayMemory(3).fill(0, 2, 1).fill(255, 3, 2).fill(767, 1, 3);
  const description = describeSnapshot(memory);
  const id = await makeSnapshot(store, memory);
  await using lease = await store.use(id, { verify: "full" });
  const { manifest, components, memory: runs, pages } = lease.snapshot;
  assert.deepEqual(components, description.components);
  assert.deepEqual(manifest.machine, description.machine);
  assert.equal(manifest.memory.pages, 6);
  assert.deepEqual(
    [...pages.runs()].map(({ start }) => start),
    [0, 255, 767],
  );
  assert.equal(Buffer.compare(readRuns(runs), memory.bytes), 0);
});

test("zero pages take no space, nor do pages that are not candidates", async (t) => {
  const store = temporaryStore(t);
  const memory = new ArrayMemory(16).fill(1000, 4, 9).fill(2000, 4, 9);
  const candidates = new PageMap(memory.length / pageLength);
  candidates.add(990, 12);
  const id = await makeSnapshot(store, memory, { candidates });
  await using lease = await store.use(id);
  assert.equal(lease.snapshot.pages.count, 2);
  const file = lease.snapshot.memory[0]?.file ?? "";
  assert.equal(statSync(file).size, memory.length);
  assert.ok(statSync(file).blocks * 512 <= 64 * 1024);
  assert.equal(statSync(file).mode & 0o777, 0o400);
});

test("a child's file has the pages that differ from its parent, and zeros where they became zero", async (t) => {
  const store = temporaryStore(t);
  const first = new ArrayMemory(2).fill(0, 100, 1);
  await using parent = await store.use(await makeSnapshot(store, first));
  const second = new ArrayMemory(2).fill(0, 100, 1).fill(10, 1, 2).fill(20, 2, 0).fill(300, 1, 5);
  await using child = await store.use(await makeSnapshot(store, second, { parent: parent.snapshot }));
  assert.deepEqual(
    [...child.snapshot.pages.runs()],
    [
      { start: 10, count: 1 },
      { start: 20, count: 2 },
      { start: 300, count: 1 },
    ],
  );
  assert.equal(Buffer.compare(readRuns(child.snapshot.memory), second.bytes), 0);
  const third = new ArrayMemory(2).fill(10, 1, 3);
  await using grandchild = await store.use(await makeSnapshot(store, third, { parent: child.snapshot }));
  assert.equal(grandchild.snapshot.ancestors.length, 2);
  assert.equal(Buffer.compare(readRuns(grandchild.snapshot.memory), third.bytes), 0);
});

test("pages that became zero take no space in a child", async (t) => {
  const store = temporaryStore(t);
  await using parent = await store.use(await makeSnapshot(store, new ArrayMemory(1).fill(0, 256, 1)));
  const id = await makeSnapshot(store, new ArrayMemory(1), { parent: parent.snapshot });
  await using child = await store.use(id);
  assert.equal(child.snapshot.pages.count, 256);
  assert.ok(statSync(child.snapshot.memory[0]?.file ?? "").blocks * 512 <= 64 * 1024);
});

test("any sequence of changes comes back, however the snapshots build on each other", async (t) => {
  const store = temporaryStore(t);
  const change = fc.record({ start: fc.nat(511), count: fc.integer({ min: 1, max: 40 }), byte: fc.nat(2) });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(change, { maxLength: 6 }), { minLength: 1, maxLength: 4 }),
      async (steps) => {
        const memory = new ArrayMemory(2);
        await using leases = new AsyncDisposalStack();
        let parent: Awaited<ReturnType<SnapshotStore["use"]>> | undefined;
        for (const [index, changes] of steps.entries()) {
          for (const { start, count, byte } of changes)
            memory.fill(start, Math.min(count, 512 - start), byte);
          const id = await makeSnapshot(store, memory, { parent: parent?.snapshot, label: `${index}` });
          parent = leases.use(await store.use(id, { verify: "full" }));
          assert.equal(Buffer.compare(readRuns(parent.snapshot.memory), memory.bytes), 0);
        }
      },
    ),
    { numRuns: 15 },
  );
});

test("a child with very many separate changes is written in few runs", async (t) => {
  const store = temporaryStore(t);
  const memory = new ArrayMemory(8).fill(0, 2048, 1);
  await using parent = await store.use(await makeSnapshot(store, memory));
  for (let page = 0; page < 2048; page += 2) memory.fill(page, 1, 2 + (page % 200));
  await using child = await store.use(await makeSnapshot(store, memory, { parent: parent.snapshot }));
  assert.ok([...child.snapshot.pages.runs()].length <= 512);
  assert.equal(Buffer.compare(readRuns(child.snapshot.memory), memory.bytes), 0);
});

test("where too many snapshots build on each other the next one stands by itself", async (t) => {
  const store = temporaryStore(t);
  await using leases = new AsyncDisposalStack();
  const memory = new ArrayMemory(1).fill(0, 10, 1);
  let parent = leases.use(await store.use(await makeSnapshot(store, memory)));
  for (let step = 0; step < 9; step++) {
    memory.fill(step + 20, 1, 1);
    const candidates = new PageMap(256);
    candidates.add(step + 20);
    const id = await makeSnapshot(store, memory, { parent: parent.snapshot, candidates });
    parent = leases.use(await store.use(id));
    assert.equal(parent.snapshot.ancestors.length, (step + 1) % 9);
    assert.equal(Buffer.compare(readRuns(parent.snapshot.memory), memory.bytes), 0);
  }
});

test("a writer that is not finished leaves nothing, and cannot be used twice", async (t) => {
  const store = temporaryStore(t);
  const memory = new ArrayMemory(1);
  {
    await using writer = await store.create();
    await assert.rejects(writer.finish(describeSnapshot(memory)), TypeError);
    await writer.captureMemory(memory);
    await assert.rejects(writer.captureMemory(memory), TypeError);
  }
  assert.deepEqual(readdirSync(store.home.temporary), []);
  assert.equal(existsSync(itemsFolder(store.home)), false);
});

test("a memory that is no whole number of MiB, or not as long as the parent's, is refused", async (t) => {
  const store = temporaryStore(t);
  await using parent = await store.use(await makeSnapshot(store, new ArrayMemory(1)));
  await using writer = await store.create();
  const odd = { length: 4096, view: () => new Uint8Array(4096) };
  await assert.rejects(writer.captureMemory(odd), RangeError);
  await assert.rejects(writer.captureMemory(new ArrayMemory(2), { parent: parent.snapshot }), RangeError);
});
