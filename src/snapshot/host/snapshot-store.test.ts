import assert from "node:assert/strict";
import { appendFileSync, chmodSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import { ArrayMemory } from "../testing/array-memory.ts";
import { leaseSnapshot } from "./lease.ts";
import { snapshotFolder } from "./snapshot-folders.ts";
import { makeSnapshot, temporaryStore } from "./testing/snapshot-rig.ts";

test("snapshots are found by name, id and the first digits of the id", async (t) => {
  const store = temporaryStore(t);
  const id = await makeSnapshot(store, new ArrayMemory(1));
  await store.name(id, "warm.1");
  for (const word of ["warm.1", id, id.slice(0, 6)]) assert.equal(await store.find(word), id);
  for (const word of ["cold", "", "../items", id.slice(0, 3), "0".repeat(64)])
    await assert.rejects(store.find(word), coded("SNAPSHOT_NOT_FOUND"), word);
});

test("a name is one snapshot's until it is removed, or given away on purpose", async (t) => {
  const store = temporaryStore(t);
  const first = await makeSnapshot(store, new ArrayMemory(1), { label: "first" });
  const second = await makeSnapshot(store, new ArrayMemory(1), { label: "second" });
  await store.name(first, "warm");
  await store.name(first, "warm");
  await assert.rejects(store.name(second, "warm"), coded("NAME_IN_USE"));
  await store.name(second, "warm", { replace: true });
  assert.equal(await store.find("warm"), second);
  await store.remove("warm");
  await store.name(first, "warm");
  const [only, ...more] = await store.list();
  assert.deepEqual([only?.id, only?.names, more.length], [first, ["warm"], 0]);
});

test("impossible names, and names for what is not there, are refused", async (t) => {
  const store = temporaryStore(t);
  const id = await makeSnapshot(store, new ArrayMemory(1));
  for (const name of ["", "a/b", "..", ".hidden", "x".repeat(65), "0123456789ab", "ü"])
    await assert.rejects(store.name(id, name), coded("INVALID_ARGUMENT"), name);
  await assert.rejects(store.name("0".repeat(64), "fine"), coded("SNAPSHOT_NOT_FOUND"));
});

test("of many who want one name at once, one gets it", async (t) => {
  const store = temporaryStore(t);
  const ids = await Promise.all(
    Array.from({ length: 6 }, (_, index) => makeSnapshot(store, new ArrayMemory(1), { label: `${index}` })),
  );
  const results = await Promise.allSettled(ids.map((id) => store.name(id, "warm")));
  assert.equal(results.filter(({ status }) => status === "fulfilled").length, 1);
});

test("a snapshot in use, and one that another is based on, is not removed", async (t) => {
  const store = temporaryStore(t);
  const id = await makeSnapshot(store, new ArrayMemory(1));
  const lease = await store.use(id);
  assert.equal((await store.list())[0]?.inUse, true);
  await assert.rejects(store.remove(id), coded("SNAPSHOT_IN_USE"));
  const memory = new ArrayMemory(1).fill(1, 1, 1);
  const child = await makeSnapshot(store, memory, { parent: lease.snapshot });
  await lease[Symbol.asyncDispose]();
  await assert.rejects(store.remove(id), coded("SNAPSHOT_IN_USE"));
  await store.remove(child);
  await store.remove(id);
  assert.deepEqual(await store.list(), []);
  await assert.rejects(store.use(id), coded("SNAPSHOT_NOT_FOUND"));
});

test("a lease that comes while a snapshot is being removed wins or finds nothing, and never a torn one", async (t) => {
  const store = temporaryStore(t);
  for (let round = 0; round < 20; round++) {
    const id = await makeSnapshot(store, new ArrayMemory(1), { label: `${round}` });
    const [used, removed] = await Promise.allSettled([store.use(id), store.remove(id)]);
    if (used.status === "fulfilled") {
      assert.equal(used.value.snapshot.id, id);
      await used.value[Symbol.asyncDispose]();
    } else assert.ok(coded("SNAPSHOT_NOT_FOUND")(used.reason));
    if (removed.status === "rejected") assert.ok(coded("SNAPSHOT_IN_USE")(removed.reason));
    assert.ok(used.status === "fulfilled" || removed.status === "fulfilled");
  }
});

test("a lease of a process that is gone keeps nothing", async (t) => {
  const store = temporaryStore(t);
  const id = await makeSnapshot(store, new ArrayMemory(1));
  const lease = leaseSnapshot(store.home, id);
  const folder = join(store.home.snapshots, "leases");
  const [name = ""] = readdirSync(folder);
  writeFileSync(join(folder, name.replace(/\.\d+\.\d+\./, ".1.1.")), "");
  await lease[Symbol.asyncDispose]();
  await store.remove(id);
  assert.deepEqual(readdirSync(folder), []);
});

test("however many ask for a key at once, one makes it", async (t) => {
  const store = temporaryStore(t);
  let made = 0;
  const make = () => {
    made++;
    return makeSnapshot(store, new ArrayMemory(1));
  };
  const leases = await Promise.all(
    Array.from({ length: 8 }, () => store.keyed("kernel 6.1, 2 CPUs", { make })),
  );
  assert.equal(made, 1);
  assert.equal(new Set(leases.map(({ snapshot }) => snapshot.id)).size, 1);
  for (const lease of leases) await lease[Symbol.asyncDispose]();
  assert.equal((await store.list())[0]?.keyed, true);
  await using other = await store.keyed("kernel 6.1, 4 CPUs", { make });
  assert.equal(made, 2);
  assert.notEqual(other.snapshot.id, leases[0]?.snapshot.id);
});

test("a damaged, a removed and a rejected snapshot of a key is made anew; one in use is left alone", async (t) => {
  const store = temporaryStore(t);
  let made = 0;
  const make = () => makeSnapshot(store, new ArrayMemory(1), { label: `${++made}` });
  const keyed = async (reject?: () => string): Promise<string> => {
    await using lease = await store.keyed("key", reject === undefined ? { make } : { make, reject });
    return lease.snapshot.id;
  };
  const first = await keyed();
  const memory = join(snapshotFolder(store.home, first), "memory.img");
  chmodSync(memory, 0o600);
  appendFileSync(memory, "x");
  const second = await keyed();
  assert.notEqual(second, first);
  rmSync(snapshotFolder(store.home, second), { recursive: true });
  const third = await keyed();
  await using user = await store.use(third);
  const fourth = await keyed(() => "the processor differs");
  assert.equal(made, 4);
  assert.deepEqual((await store.list()).map(({ id }) => id).sort(), [third, fourth].sort());
  assert.equal(user.snapshot.id, third);
  assert.ok(readFileSync(user.snapshot.memory[0]?.file ?? "").length > 0);
});

test("a maker that fails leaves the key to the next one", async (t) => {
  const store = temporaryStore(t);
  const fails = store.keyed("key", { make: () => Promise.reject(new Error("no boot today")) });
  await assert.rejects(fails, /no boot today/);
  await using lease = await store.keyed("key", { make: () => makeSnapshot(store, new ArrayMemory(1)) });
  assert.equal(lease.snapshot.manifest.labels["label"], "test");
});

function coded(code: string): (error: unknown) => boolean {
  return (error) => error instanceof SupermachineError && error.code === code;
}
