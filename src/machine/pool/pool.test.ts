// The pool with real machines, whose engine is a double.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import { createMachine } from "../create-machine.ts";
import { Machine } from "../machine.ts";
import { fakeParts } from "../testing/fake-parts.ts";
import { TemporaryHome } from "../testing/temporary-home.ts";
import { Pool } from "./pool.ts";
import type { PoolOptions } from "./pool-options.ts";

const code = (wanted: string) => (error: unknown) => {
  assert.ok(error instanceof SupermachineError, String(error));
  assert.equal(error.code, wanted, error.message);
  return true;
};

/** A pool's `create` that makes machines without a hypervisor. */
function maker(home: TemporaryHome, parts = fakeParts()) {
  return async ({ signal }: { signal: AbortSignal }) =>
    new Machine(await createMachine("busybox", { home: home.root, signal }, parts));
}

test("a lease's machine works until the lease ends, and then refuses everything", async () => {
  using home = new TemporaryHome();
  await using pool = new Pool({ create: maker(home), max: 1, onRelease: "keep" });
  const lease = await pool.acquire();
  const { machine } = lease;
  assert.equal((await machine.exec(["echo", "hello"])).stdout, "hello\n");
  await machine.files.write("/note", "kept");
  await lease.release();

  const refusals = [
    async () => await machine.exec(["true"]),
    async () => await machine.files.readText("/note"),
    () => machine.info(),
    () => machine.wait(),
    () => machine.stop(),
    () => machine.kill(),
    () => machine.signal("SIGTERM"),
    () => machine.remove({ force: true }),
  ];
  for (const refused of refusals) await assert.rejects(refused, code("LEASE_ENDED"));
  assert.throws(() => machine.logs(), code("LEASE_ENDED"));
  await machine[Symbol.asyncDispose]();

  await using again = await pool.acquire();
  assert.equal(again.machine.id, machine.id);
  assert.equal(await again.machine.files.readText("/note"), "kept");
});

test("disposing of a leased machine does not end it; stopping it does, and the pool replaces it", async () => {
  using home = new TemporaryHome();
  await using pool = new Pool({ create: maker(home), max: 1, onRelease: "keep" });
  const lease = await pool.acquire();
  const { id } = lease.machine;
  await lease.machine[Symbol.asyncDispose]();
  assert.equal((await lease.machine.info()).state, "running");
  await lease.machine.stop();
  await lease.release();
  await using next = await pool.acquire();
  assert.notEqual(next.machine.id, id);
});

test("machines without a reset are replaced between two uses, and closing leaves no trace of any", async () => {
  using home = new TemporaryHome();
  const parts = fakeParts();
  const ids = new Set<string>();
  {
    await using pool = new Pool({ create: maker(home, parts), min: 1, max: 2 });
    for (let round = 0; round < 3; round++) {
      await using lease = await pool.acquire();
      assert.equal((await lease.machine.exec(["echo", "x"])).stdout, "x\n");
      ids.add(lease.machine.id);
    }
    assert.equal(ids.size, 3);
  }
  for (const guest of parts.engine.guests) assert.equal((await guest.exited).kind, "killed");
  assert.deepEqual(readdirSync(join(home.root, "machines")), [".names"]);
});

test("a machine that can be reset in place is", async () => {
  using home = new TemporaryHome();
  const create = maker(home);
  let resets = 0;
  const resettable = async (options: { signal: AbortSignal }) =>
    Object.assign(await create(options), {
      reset: async () => {
        if (++resets > 2) throw new SupermachineError("UNSUPPORTED", "This engine cannot reset machines");
      },
    });
  await using pool = new Pool({ create: resettable, max: 1 });
  const ids: string[] = [];
  for (let round = 0; round < 4; round++) {
    await using lease = await pool.acquire();
    ids.push(lease.machine.id);
  }
  assert.equal(new Set(ids.slice(0, 3)).size, 1);
  assert.notEqual(ids[3], ids[2]);
  assert.deepEqual([pool.stats().resets, pool.stats().failures], [2, 0]);
});

test("an idle machine whose guest panics is replaced at once", async () => {
  using home = new TemporaryHome();
  const parts = fakeParts();
  await using pool = new Pool({ create: maker(home, parts), min: 1, max: 1 });
  const first = await pool.acquire();
  await first.release("keep");
  while (pool.stats().idle === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  parts.engine.guests[0]?.panic();
  while (pool.stats().created < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.match(String(pool.stats().lastFailure), /panicked/);
});

test("aborting the pool's signal closes it", async () => {
  using home = new TemporaryHome();
  const abort = new AbortController();
  const pool = new Pool({ create: maker(home), max: 1, signal: abort.signal });
  const lease = await pool.acquire();
  const waiting = assert.rejects(pool.acquire(), code("POOL_CLOSED"));
  abort.abort(new Error("enough"));
  await waiting;
  assert.equal(lease.active, false);
  await pool.close();
  assert.equal(pool.stats().destroyed, 1);
  const late = new Pool({ create: maker(home), signal: abort.signal });
  await assert.rejects(late.acquire(), code("POOL_CLOSED"));
});

test("an image that does not exist fails the acquisition with the error of Machine.create", async () => {
  using home = new TemporaryHome();
  await using pool = new Pool({ image: "no-such-image:v0", pull: "never", home: home.root, min: 0 });
  await assert.rejects(pool.acquire(), (error: unknown) => {
    assert.ok(error instanceof SupermachineError);
    assert.ok(["IMAGE_NOT_FOUND", "ENGINE_UNAVAILABLE"].includes(error.code), error.code);
    return true;
  });
});

const create = () => Promise.reject(new Error("never called"));
for (const [what, options] of [
  ["neither image nor create", {}],
  ["both image and create", { image: "busybox", create }],
  ["a create that is no function", { create: "busybox" }],
  ["machine options beside create", { create, cpus: 2 }],
  ["a machine option with an unusable value", { image: "busybox", memory: "much" }],
  ["an option that does not exist", { image: "busybox", size: 3 }],
  ["a name", { image: "busybox", name: "one" }],
  ["detached machines", { image: "busybox", detached: true }],
  ["a fixed host port", { image: "busybox", ports: ["8080:80"] }],
  ["a max of 0", { image: "busybox", max: 0 }],
  ["a max that is no whole number", { image: "busybox", max: 1.5 }],
  ["a min above max", { image: "busybox", min: 3, max: 2 }],
  ["a negative time", { image: "busybox", idleTimeoutMs: -1 }],
  ["a time that timers cannot hold", { image: "busybox", acquireTimeoutMs: 2 ** 31 }],
  ["an unknown release action", { image: "busybox", onRelease: "burn" }],
  ["a negative number of starts", { image: "busybox", maxStarting: -1 }],
  ["less host memory than one machine has", { image: "busybox", memory: "1GiB", hostMemory: "512MiB" }],
  ["a signal that is none", { image: "busybox", signal: {} }],
] satisfies [string, object][])
  test(`a pool with ${what} is refused`, () => {
    assert.throws(() => new Pool({ min: 0, ...options } as unknown as PoolOptions), code("INVALID_ARGUMENT"));
  });

test("a pool publishes free host ports only, and any number of starts may be had", async () => {
  await using pool = new Pool({ image: "busybox", min: 0, ports: ["0:80"], maxStarting: 0 });
  assert.equal(pool.stats().starting, 0);
});
