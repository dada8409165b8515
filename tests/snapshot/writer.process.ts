// Writes one snapshot in the home given, and kills itself right before the file operation of the number given.
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { ArrayMemory } from "../../src/snapshot/testing/array-memory.ts";

const [root = "", step = "0"] = process.argv.slice(2);
let count = 0;
type Operation = (...args: unknown[]) => unknown;

/** Makes every call of these functions a step. */
function countCalls(target: object, names: readonly string[]): void {
  const functions = target as Record<string, Operation>;
  for (const name of names) {
    const original = functions[name];
    if (original === undefined) throw new Error(`No ${name}`);
    functions[name] = function (this: unknown, ...args: unknown[]) {
      if (++count === Number(step)) process.kill(process.pid, "SIGKILL");
      return original.apply(this, args);
    };
  }
}

const probe = await fs.promises.open(process.execPath, "r");
countCalls(Object.getPrototypeOf(probe), ["write", "writeFile", "truncate", "chmod", "sync", "read"]);
await probe.close();
countCalls(fs.promises, ["mkdir", "open", "rename", "rm", "symlink", "link", "writeFile"]);
syncBuiltinESMExports();
count = 0;

const { Home } = await import("../../src/storage/home.ts");
const { SnapshotStore } = await import("../../src/snapshot/host/snapshot-store.ts");
const { describeSnapshot } = await import("../../src/snapshot/host/testing/snapshot-rig.ts");
const store = new SnapshotStore(new Home(root));
const { PageMap } = await import("../../src/snapshot/page-map.ts");
await using lease = await store.keyed("key", {
  make: async () => {
    await using writer = await store.create();
    const memory = new ArrayMemory(1).fill(0, 3, 1).fill(100, 1, 1);
    await writer.copyMemory(memory);
    memory.fill(100, 1, 0).fill(200, 5, 2);
    const candidates = new PageMap(256);
    candidates.add(100, 105);
    await writer.captureMemory(memory, { candidates });
    const id = await writer.finish(describeSnapshot(memory));
    await store.name(id, "warm");
    return id;
  },
});
process.stdout.write(`${count} ${lease.snapshot.id}`);
