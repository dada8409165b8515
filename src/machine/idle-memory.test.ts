import assert from "node:assert/strict";
import { test } from "node:test";
import { deferred } from "../streams/deferred.ts";
import { IdleMemory } from "./idle-memory.ts";
import { FakeClock } from "./testing/fake-clock.ts";

const afterMs = 15_000;

/** A guest that counts how often it is asked. As with a real link, the operation counts as under way until it is answered. */
class Rig {
  readonly clock: FakeClock = new FakeClock();
  readonly idle: IdleMemory;
  asked = 0;
  answer: () => Promise<void> = async () => {};
  #underWay = 0;

  constructor() {
    this.idle = new IdleMemory({ reclaim: () => this.#reclaim() }, { afterMs, clock: this.clock });
  }

  begin(): void {
    this.idle.operations(++this.#underWay);
  }

  end(): void {
    this.idle.operations(--this.#underWay);
  }

  /** Somebody uses the machine for a moment. */
  use(): void {
    this.begin();
    this.end();
  }

  async #reclaim(): Promise<void> {
    this.asked++;
    this.begin();
    try {
      await this.answer();
    } finally {
      this.end();
    }
  }
}

test("a machine that becomes idle is asked to drop its caches, once", async () => {
  const rig = new Rig();
  rig.use();
  await rig.clock.advance(afterMs - 1);
  assert.equal(rig.asked, 0);
  await rig.clock.advance(1);
  assert.equal(rig.asked, 1);
  // That was no use, nor did its end begin anything.
  await rig.clock.advance(1_000_000);
  assert.deepEqual([rig.asked, rig.clock.pending], [1, 0]);
  rig.use();
  await rig.clock.advance(afterMs);
  assert.equal(rig.asked, 2);
});

test("a machine that nobody has used is not asked", async () => {
  const rig = new Rig();
  rig.idle.operations(0);
  await rig.clock.advance(1_000_000);
  assert.deepEqual([rig.asked, rig.clock.pending], [0, 0]);
});

test("the time starts anew with each use, and does not run during one", async () => {
  const rig = new Rig();
  rig.use();
  await rig.clock.advance(afterMs - 1);
  rig.begin();
  rig.use();
  await rig.clock.advance(1_000_000);
  rig.end();
  await rig.clock.advance(afterMs - 1);
  assert.equal(rig.asked, 0);
  await rig.clock.advance(1);
  assert.equal(rig.asked, 1);
});

test("a hold is a use, among others", async () => {
  const rig = new Rig();
  const hold = rig.idle.hold();
  rig.use();
  await rig.clock.advance(1_000_000);
  assert.equal(rig.asked, 0);
  hold[Symbol.dispose]();
  await rig.clock.advance(afterMs);
  assert.equal(rig.asked, 1);
});

test("who comes while the guest is at it is a use as any other", async () => {
  const rig = new Rig();
  const answer = deferred<void>();
  rig.answer = () => answer.promise;
  rig.use();
  await rig.clock.advance(afterMs);
  rig.begin();
  answer.resolve();
  await rig.clock.advance(1_000_000);
  assert.equal(rig.asked, 1);
  rig.end();
  await rig.clock.advance(afterMs);
  assert.equal(rig.asked, 2);
});

test("a guest that fails is asked again the next time", async () => {
  const rig = new Rig();
  rig.answer = () => Promise.reject(new Error("no such thing"));
  rig.use();
  await rig.clock.advance(1_000_000);
  assert.equal(rig.asked, 1);
  rig.use();
  await rig.clock.advance(afterMs);
  assert.equal(rig.asked, 2);
});

test("a guest that does not answer is not asked again until it has", async () => {
  const rig = new Rig();
  const answer = deferred<void>();
  rig.answer = () => answer.promise;
  rig.use();
  await rig.clock.advance(afterMs);
  rig.use();
  await rig.clock.advance(1_000_000);
  assert.deepEqual([rig.asked, rig.clock.pending], [1, 0]);
  answer.resolve();
  await rig.clock.advance(0);
  rig.use();
  await rig.clock.advance(afterMs);
  assert.equal(rig.asked, 2);
});

test("of a guest that is gone nothing more is asked", async () => {
  const rig = new Rig();
  rig.use();
  rig.idle[Symbol.dispose]();
  rig.use();
  await rig.clock.advance(1_000_000);
  assert.deepEqual([rig.asked, rig.clock.pending], [0, 0]);
});
