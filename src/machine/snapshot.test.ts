import assert from "node:assert/strict";
import { test } from "node:test";
import { describeSnapshot, temporaryStore } from "../snapshot/host/testing/snapshot-rig.ts";
import { KIND_LABEL } from "../snapshot/labels.ts";
import { ArrayMemory } from "../snapshot/testing/array-memory.ts";
import { Snapshot } from "./snapshot.ts";

test("prune takes what was made for copies, but not before they can have been made", async (t) => {
  const store = temporaryStore(t);
  const home = store.home.root;
  const memory = new ArrayMemory(1);
  await using writer = await store.create();
  await writer.captureMemory(memory, {});
  const id = await writer.finish({ ...describeSnapshot(memory), labels: { [KIND_LABEL]: "fork" } });
  assert.deepEqual((await Snapshot.prune({ home })).removed, []);
  t.mock.timers.enable({ apis: ["Date"], now: Date.now() + 61_000 });
  const lease = await store.use(id);
  assert.deepEqual((await Snapshot.prune({ home })).removed, [], "one of the copies runs");
  await lease[Symbol.asyncDispose]();
  assert.deepEqual((await Snapshot.prune({ home })).removed, [id]);
});
