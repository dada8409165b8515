import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { VcpuWorkers } from "./vcpu-workers.ts";

class FakeWorker {
  readonly exited: Promise<string>;
  isTerminated = false;
  die: () => void = () => {};

  constructor() {
    this.exited = new Promise((resolve) => {
      this.die = () => resolve("died");
    });
  }

  rest(): void {}

  terminate(): void {
    this.isTerminated = true;
    this.die();
  }
}

/** A set, and every thread it ever started. */
function fresh(): { set: VcpuWorkers<FakeWorker>; started: FakeWorker[]; alive: () => number } {
  const started: FakeWorker[] = [];
  const set = new VcpuWorkers(() => {
    const worker = new FakeWorker();
    started.push(worker);
    return worker;
  });
  return { set, started, alive: () => started.filter(({ isTerminated }) => !isTerminated).length };
}

const minute = 60_000;

/** Runs with timers that move only when told to. */
function withTimers(run: () => void): void {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    run();
  } finally {
    mock.timers.reset();
  }
}

test("a thread that is given back is taken again", () => {
  withTimers(() => {
    const { set, started } = fresh();
    const [first] = set.take(1);
    set.giveBack(first as FakeWorker);
    assert.deepEqual(set.take(1), [first]);
    assert.equal(started.length, 1);
  });
});

test("prepare() starts for every machine that is on its way, and take() finds them", () => {
  withTimers(() => {
    const { set, started } = fresh();
    set.prepare(1);
    set.prepare(2);
    assert.equal(started.length, 3);
    set.take(2);
    set.take(1);
    assert.equal(started.length, 3);
    set.prepare(1);
    assert.equal(started.length, 4);
  });
});

test("headStart() starts what the next prepare() would", () => {
  withTimers(() => {
    const { set, started } = fresh();
    set.headStart(1);
    assert.equal(started.length, 1);
    set.prepare(2);
    assert.equal(started.length, 2);
    set.take(2);
    assert.equal(started.length, 2);
  });
});

test("after a headStart(), threads end with their vCPUs", () => {
  withTimers(() => {
    const { set, alive } = fresh();
    set.headStart(2);
    for (const worker of set.take(2)) set.giveBack(worker);
    assert.equal(alive(), 0);
  });
});

test("the first machine of a process costs no spare threads; after the second there are some, once it is calm", () => {
  withTimers(() => {
    const { set, started } = fresh();
    set.take(2);
    mock.timers.tick(minute);
    assert.equal(started.length, 2);
    set.take(2);
    mock.timers.tick(500);
    assert.equal(started.length, 4);
    mock.timers.tick(1000);
    assert.equal(started.length, 6);
    set.take(2);
    assert.equal(started.length, 6);
  });
});

test("idle threads are few, and after a while fewer", () => {
  withTimers(() => {
    const { set, alive } = fresh();
    for (const worker of set.take(20)) set.giveBack(worker);
    assert.equal(alive(), 8);
    mock.timers.tick(minute);
    assert.equal(alive(), 2);
    mock.timers.tick(minute);
    assert.equal(alive(), 2);
  });
});

test("machines that were prepared and never came do not keep threads", () => {
  withTimers(() => {
    const { set, started, alive } = fresh();
    for (let failed = 0; failed < 100; failed++) set.prepare(4);
    assert.equal(alive(), 8);
    mock.timers.tick(minute);
    assert.equal(alive(), 2);
    set.prepare(1);
    assert.equal(started.length, 8);
  });
});

test("an idle thread that died is not taken", async () => {
  const { set, started } = fresh();
  set.prepare(1);
  started[0]?.die();
  await Promise.resolve();
  const [taken] = set.take(1);
  assert.equal(taken, started[1]);
});

test("take() gives all or none; prepare() never throws", () => {
  withTimers(() => {
    let left = 2;
    const set = new VcpuWorkers(() => {
      if (left-- <= 0) throw new Error("no more threads");
      return new FakeWorker();
    });
    assert.throws(() => set.take(3), /no more threads/);
    set.prepare(8);
    assert.equal(set.take(2).length, 2);
  });
});
