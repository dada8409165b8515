import assert from "node:assert/strict";
import { test } from "node:test";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import { deferred } from "../../streams/deferred.ts";
import { settled } from "../testing/fake-clock.ts";
import { PoolCore } from "./pool-core.ts";
import type { PoolSettings } from "./pool-parts.ts";
import { type FakeBehaviour, type FakeMachine, FakeMachines } from "./testing/fake-machines.ts";

const defaults: PoolSettings = {
  min: 0,
  max: 2,
  idleTimeoutMs: 60_000,
  acquireTimeoutMs: 300_000,
  onRelease: "reset",
  memoryMiB: 512,
};

function poolOf(
  settings: Partial<PoolSettings> = {},
  behaviour: FakeBehaviour = {},
  options: ConstructorParameters<typeof FakeMachines>[1] = {},
): { pool: PoolCore<FakeMachine>; machines: FakeMachines } {
  const machines = new FakeMachines(behaviour, options);
  return { pool: new PoolCore({ ...defaults, ...settings }, machines), machines };
}

const code = (expected: string) => (error: unknown) =>
  error instanceof SupermachineError && error.code === expected;

test("a pool starts its minimum in advance and hands it out without a start", async () => {
  const { pool, machines } = poolOf({ min: 2, max: 3 });
  await settled();
  assert.equal(pool.stats().idle, 2);
  const lease = await pool.acquire();
  assert.equal(lease.machine, machines.made[1]);
  assert.equal(pool.stats().acquireMs.max, 0);
  await settled();
  assert.deepEqual([pool.stats().idle, pool.stats().leased, machines.alive], [2, 1, 3]);
  await pool.close();
});

test("a released machine is reset and handed out again, the one used last first", async () => {
  const { pool, machines } = poolOf({ max: 2 });
  const [first, second] = await Promise.all([pool.acquire(), pool.acquire()]);
  second.machine.used = true;
  await first.release();
  await machines.clock.advance(1);
  await second.release();
  await settled();
  const again = await pool.acquire();
  assert.equal(again.machine, machines.made[1]);
  assert.equal(again.machine.used, false);
  assert.equal(pool.stats().resets, 2);
  assert.equal(machines.attempts, 2);
  await pool.close();
});

test("a machine that cannot be reset is replaced by a fresh one", async () => {
  const { pool, machines } = poolOf({ min: 1, max: 1 }, { reset: "unsupported" });
  await (await pool.acquire()).release();
  const lease = await pool.acquire();
  assert.equal(lease.machine.number, 2);
  assert.equal(machines.made[0]?.destroyed, true);
  assert.equal(pool.stats().failures, 0);
  await pool.close();
});

test("keep leaves a machine as it is; discard ends it; a release may ask for something else than the pool does", async () => {
  const { pool, machines } = poolOf({ max: 1, onRelease: "keep" });
  const first = await pool.acquire();
  first.machine.used = true;
  await first.release();
  const second = await pool.acquire();
  assert.equal(second.machine, machines.made[0]);
  assert.equal(second.machine.used, true);
  await second.release("discard");
  const third = await pool.acquire();
  assert.equal(third.machine.number, 2);
  assert.equal(machines.made[0]?.destroyed, true);
  await pool.close();
});

test("a lease cannot be used after its release, which may be repeated", async () => {
  const { pool, machines } = poolOf({ max: 1 });
  const lease = await pool.acquire();
  await lease.release();
  assert.equal(lease.active, false);
  assert.throws(() => lease.machine, code("LEASE_ENDED"));
  const next = await pool.acquire();
  await lease.release("discard");
  await lease[Symbol.asyncDispose]();
  await settled();
  assert.equal(next.machine.destroyed, false);
  assert.equal(machines.lent.size, 1);
  await pool.close();
});

test("a release action that does not exist is refused and the lease goes on", async () => {
  const { pool } = poolOf();
  const lease = await pool.acquire();
  await assert.rejects(lease.release("burn" as "keep"), RangeError);
  assert.equal(lease.active, true);
  await pool.close();
});

test("those who wait are served in the order in which they came", async () => {
  const { pool } = poolOf({ max: 1 });
  const order: number[] = [];
  const first = await pool.acquire();
  const waiters = [1, 2, 3, 4].map(async (number) => {
    const lease = await pool.acquire();
    order.push(number);
    await lease.release();
  });
  await first.release();
  await Promise.all(waiters);
  assert.deepEqual(order, [1, 2, 3, 4]);
  await pool.close();
});

test("waiting ends with POOL_TIMEOUT, which says what the pool was doing and leaves nothing behind", async () => {
  const { pool, machines } = poolOf({ max: 1 });
  const lease = await pool.acquire();
  const waiting = pool.acquire({ timeoutMs: 1_000 });
  const rejected = assert.rejects(waiting, (error: unknown) => {
    assert.ok(error instanceof SupermachineError);
    assert.equal(error.code, "POOL_TIMEOUT");
    assert.equal(error.data["leased"], 1);
    return true;
  });
  await machines.clock.advance(999);
  assert.equal(pool.stats().waiting, 1);
  await machines.clock.advance(1);
  await rejected;
  assert.equal(pool.stats().waiting, 0);
  await lease.release();
  await settled();
  assert.equal(pool.stats().idle, 1);
  await pool.close();
  assert.equal(machines.clock.pending, 0);
});

test("a wait that is aborted loses no machine", async () => {
  const gate = deferred<void>();
  const { pool } = poolOf({ max: 1 }, { create: () => gate.promise });
  const abort = new AbortController();
  const waiting = pool.acquire({ signal: abort.signal });
  await settled();
  abort.abort(new Error("enough"));
  await assert.rejects(waiting, code("ABORTED"));
  gate.resolve();
  await settled();
  assert.deepEqual([pool.stats().idle, pool.stats().waiting], [1, 0]);
  await assert.rejects(pool.acquire({ signal: abort.signal }), code("ABORTED"));
  await pool.close();
});

test("a start that fails is told to whoever has waited longest, as it was", async () => {
  let fail = true;
  const failure = new SupermachineError("BOOT_FAILED", "The machine ended while it started");
  const create = () => {
    if (fail) throw failure;
  };
  const { pool, machines } = poolOf({ max: 1 }, { create });
  const [first, second] = [pool.acquire(), pool.acquire()];
  await assert.rejects(first, failure);
  await assert.rejects(second, failure);
  fail = false;
  assert.equal((await pool.acquire()).machine.number, 1);
  assert.deepEqual([pool.stats().failures, pool.stats().lastFailure, machines.attempts], [2, failure, 3]);
  await pool.close();
});

test("a start that fails is told to nobody while another machine is on its way to whoever waits", async () => {
  const starts = [deferred<void>(), deferred<void>()];
  let next = 0;
  const { pool } = poolOf({ min: 1, max: 2 }, { create: () => starts[next++]?.promise });
  const waiting = pool.acquire();
  await settled();
  starts[0]?.reject(new Error("no"));
  await settled();
  starts[1]?.resolve();
  assert.equal((await waiting).machine.number, 1);
  await pool.close();
});

test("keeping machines ready is tried again later and later; somebody who waits gets an attempt at once", async () => {
  let fail = true;
  const create = () => {
    if (fail) throw new Error("no");
  };
  const { pool, machines } = poolOf({ min: 1, max: 1 }, { create });
  await settled();
  const attemptsAfter: number[] = [];
  for (const ms of [99, 1, 199, 1, 399, 1]) {
    await machines.clock.advance(ms);
    attemptsAfter.push(machines.attempts);
  }
  assert.deepEqual(attemptsAfter, [1, 2, 2, 3, 3, 4]);
  await assert.rejects(pool.acquire(), /no/);
  assert.equal(machines.attempts, 5);
  await machines.clock.advance(600_000);
  // At most one in half a minute by now, and not for ever silent.
  assert.ok(machines.attempts > 20 && machines.attempts < 40, String(machines.attempts));
  fail = false;
  await machines.clock.advance(30_000);
  assert.equal(pool.stats().idle, 1);
  await pool.close();
});

test("a machine that dies while idle is noticed at once, replaced, and never handed out", async () => {
  const { pool, machines } = poolOf({ min: 1, max: 1 });
  await settled();
  machines.made[0]?.die();
  await settled();
  assert.equal(machines.made[0]?.destroyed, true);
  assert.match(String(pool.stats().lastFailure?.message), /panicked/);
  await machines.clock.advance(100);
  assert.equal(pool.stats().idle, 1);
  assert.equal((await pool.acquire()).machine.number, 2);
  await pool.close();
});

test("machines that die as soon as they are up do not make the pool spin", async () => {
  const { pool, machines } = poolOf({ min: 1, max: 1 });
  for (let seconds = 0; seconds < 3_000; seconds++) {
    await machines.clock.advance(100);
    for (const machine of machines.living) machine.die();
  }
  assert.ok(machines.attempts < 40, String(machines.attempts));
  await pool.close();
});

test("a machine that dies while leased is replaced when it is given back", async () => {
  const { pool, machines } = poolOf({ max: 1, onRelease: "keep" });
  const lease = await pool.acquire();
  lease.machine.die();
  await settled();
  await lease.release();
  assert.equal((await pool.acquire()).machine.number, 2);
  assert.equal(machines.made[0]?.destroyed, true);
  await pool.close();
});

for (const [what, behaviour] of [
  ["whose reset fails", { reset: fails }],
  ["that fails its check after a reset", { check: fails }],
  ["whose reset never ends", { reset: () => deferred<void>().promise }],
  ["that never answers", { check: () => deferred<void>().promise }],
] satisfies [string, FakeBehaviour][])
  test(`a machine ${what} is replaced`, async () => {
    const { pool, machines } = poolOf({ max: 1 }, behaviour);
    await (await pool.acquire()).release();
    await machines.clock.advance(30_000);
    assert.equal(machines.made[0]?.destroyed, true);
    assert.equal(pool.stats().failures, 1);
    assert.equal((await pool.acquire()).machine.number, 2);
    await pool.close();
  });

test("a machine that has not been heard of for a while is asked before it is handed out", async () => {
  const asked: number[] = [];
  let sick = false;
  const check = ({ number }: FakeMachine) => {
    asked.push(number);
    if (sick) fails();
  };
  const { pool, machines } = poolOf({ min: 1, max: 1, idleTimeoutMs: Number.POSITIVE_INFINITY }, { check });
  await machines.clock.advance(5_000);
  await (await pool.acquire()).release("keep");
  await settled();
  assert.deepEqual(asked, [1]);
  await machines.clock.advance(5_001);
  sick = true;
  const waiting = pool.acquire();
  assert.equal((await waiting).machine.number, 2);
  assert.deepEqual(asked, [1, 1]);
  assert.equal(machines.made[0]?.destroyed, true);
  await pool.close();
});

test("machines beyond the minimum end when nobody has used them for the idle time, the longest idle first", async () => {
  const { pool, machines } = poolOf({ min: 1, max: 3, idleTimeoutMs: 1_000 });
  const leases = await Promise.all([pool.acquire(), pool.acquire(), pool.acquire()]);
  for (const lease of leases) {
    await lease.release("keep");
    await machines.clock.advance(100);
  }
  assert.equal(pool.stats().idle, 3);
  await machines.clock.advance(699);
  assert.equal(pool.stats().idle, 3);
  await machines.clock.advance(1);
  assert.deepEqual(
    machines.living.map(({ number }) => number),
    [2, 3],
  );
  await machines.clock.advance(10_000);
  assert.deepEqual(
    machines.living.map(({ number }) => number),
    [3],
  );
  await pool.close();
});

test("of machines that grow too old at the same moment, no more end than are too many", async () => {
  const { pool, machines } = poolOf({ min: 1, max: 3, idleTimeoutMs: 1_000 });
  const leases = await Promise.all([pool.acquire(), pool.acquire(), pool.acquire()]);
  for (const lease of leases) await lease.release();
  await machines.clock.advance(1_000);
  assert.deepEqual([machines.living.length, machines.attempts], [1, 3]);
  await pool.close();
});

test("no more machines are asked whether they answer than somebody waits for", async () => {
  let asked = 0;
  const check = () => {
    asked++;
  };
  const { pool, machines } = poolOf({ min: 2 }, { check });
  await machines.clock.advance(5_001);
  await pool.acquire();
  assert.equal(asked, 1);
  await pool.close();
});

test("no more machines start at once than the gate lets through", async () => {
  const up = deferred<void>();
  const { pool, machines } = poolOf({ min: 8, max: 8 }, { create: () => up.promise }, { starts: 3 });
  await settled();
  assert.deepEqual([machines.starting, pool.stats().starting], [3, 8]);
  up.resolve();
  await settled();
  assert.deepEqual([machines.mostStarting, pool.stats().idle], [3, 8]);
  await pool.close();
});

test("pools that share a gate share it fairly, in the order of their wishes", async () => {
  const machines = new FakeMachines({}, { memoryMiB: 1_024 });
  const small = new PoolCore({ ...defaults, max: 4 }, machines);
  const big = new PoolCore({ ...defaults, memoryMiB: 1_024 }, machines);
  const leases = [await small.acquire(), await small.acquire()];
  const wantsAll = big.acquire();
  await settled();
  const wantsSome = small.acquire();
  await leases[0]?.release("discard");
  await settled();
  assert.equal(small.stats().waiting, 1);
  await leases[1]?.release("discard");
  const lease = await wantsAll;
  await lease.release("discard");
  await wantsSome;
  await Promise.all([small.close(), big.close()]);
  assert.equal(machines.memory.held, 0);
});

test("machines never have more memory than the bound, and a start that waits for it is taken back when nobody needs it", async () => {
  const { pool, machines } = poolOf({ max: 5 }, {}, { memoryMiB: 1_200 });
  const abort = new AbortController();
  const waits = [1, 2, 3].map(() => pool.acquire({ signal: abort.signal }));
  await settled();
  assert.deepEqual([machines.alive, pool.stats().starting, machines.memory.waiting], [2, 1, 1]);
  abort.abort();
  await assert.rejects(waits[2] as Promise<unknown>, code("ABORTED"));
  assert.deepEqual([pool.stats().starting, machines.memory.waiting, machines.memory.held], [0, 0, 1_024]);
  await pool.close();
  assert.equal(machines.memory.held, 0);
});

test("a machine that is ending counts until it has ended", async () => {
  const gone = deferred<void>();
  const { pool, machines } = poolOf({ max: 1 }, { destroy: () => gone.promise });
  await (await pool.acquire()).release("discard");
  const waiting = pool.acquire();
  await settled();
  assert.deepEqual([machines.attempts, pool.stats().ending, pool.stats().waiting], [1, 1, 1]);
  gone.resolve();
  await waiting;
  assert.equal(machines.mostAlive, 1);
  await pool.close();
});

test("closing ends everything: those who wait, starts, leases, machines", async () => {
  const create = (signal: AbortSignal) =>
    new Promise<void>((resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
      if (machines.made.length === 0) resolve();
    });
  const { pool, machines } = poolOf({ max: 2 }, { create });
  const lease = await pool.acquire();
  const waits = [pool.acquire(), pool.acquire()].map((wait) => assert.rejects(wait, code("POOL_CLOSED")));
  await settled();
  const reason = new Error("going home");
  await Promise.all([pool.close(reason), pool.close(), pool.drain()]);
  await Promise.all(waits);
  assert.throws(() => lease.machine, code("LEASE_ENDED"));
  await lease.release();
  assert.equal(machines.lent.size, 0);
  assert.deepEqual([machines.alive, machines.clock.pending, pool.stats().failures], [0, 0, 0]);
  await assert.rejects(pool.acquire(), (error: unknown) => (error as Error).cause === reason);
});

test("a machine that comes up after the pool was closed is ended", async () => {
  const up = deferred<void>();
  const { pool, machines } = poolOf({ min: 1 }, { create: () => up.promise });
  await settled();
  const closed = pool.close();
  up.resolve();
  await closed;
  assert.equal(machines.made[0]?.destroyed, true);
});

test("draining serves those who wait, lets leases last, and takes nobody new", async () => {
  const { pool, machines } = poolOf({ min: 1, max: 1 });
  const lease = await pool.acquire();
  const waiting = pool.acquire();
  let isDrained = false;
  const drained = pool.drain().then(() => {
    isDrained = true;
  });
  await assert.rejects(pool.acquire(), code("POOL_CLOSED"));
  await lease.release();
  const last = await waiting;
  await settled();
  assert.equal(isDrained, false);
  assert.equal(last.machine.destroyed, false);
  await last.release();
  await drained;
  assert.deepEqual([machines.alive, machines.clock.pending], [0, 0]);
});

test("draining does not wait for machines that nobody waits for", async () => {
  const create = (signal: AbortSignal) =>
    new Promise<void>((_resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
    });
  const { pool } = poolOf({ min: 1 }, { create });
  await settled();
  await pool.drain();
  assert.equal(pool.stats().failures, 0);
});

test("closing tells when a machine could not be ended, and still ends the others", async () => {
  const destroy = ({ number }: FakeMachine) => {
    if (number === 1) throw new Error("it is stuck");
  };
  const { pool, machines } = poolOf({ min: 2 }, { destroy });
  await settled();
  await assert.rejects(pool.close(), /stuck/);
  assert.equal(machines.made[1]?.destroyed, true);
});

test("a pool with nothing in it closes at once", async () => {
  const { pool } = poolOf();
  await pool.drain();
  await pool.close();
  assert.equal(pool.stats().destroyed, 0);
});

test("a time limit that is no number is refused", async () => {
  const { pool } = poolOf();
  await assert.rejects(pool.acquire({ timeoutMs: Number.NaN }), RangeError);
  await pool.close();
});

function fails(): never {
  throw new Error("it does not answer");
}
