// What of a machine's life counts as its use, and what its guest is asked for when there is none.
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { createMachine } from "./create-machine.ts";
import { Machine } from "./machine.ts";
import { restoreMachine } from "./restore-machine.ts";
import { forkMachine } from "./snapshot-machine.ts";
import type { FakeAgent } from "./testing/fake-agent.ts";
import { type FakeParts, fakeParts } from "./testing/fake-parts.ts";
import { TemporaryHome } from "./testing/temporary-home.ts";
import type { MachineOptions } from "./types.ts";

const reclaimAfterMs = 20;

/** A home, and an engine that has what its guests free. */
class Rig extends TemporaryHome {
  readonly #rootfs = join(this.root, "rootfs", "rootfs.erofs");
  readonly parts: FakeParts;

  constructor({ takesFreedMemory = true } = {}) {
    super();
    this.parts = {
      ...fakeParts({ takesFreedMemory, snapshots: true }),
      prepareRootfs: async () => this.#rootfs,
    };
    mkdirSync(dirname(this.#rootfs), { recursive: true });
    writeFileSync(this.#rootfs, "");
  }

  async start(options: MachineOptions = {}): Promise<{ machine: Machine; agent: FakeAgent }> {
    const given = { home: this.root, reclaimAfterMs, ...options };
    const machine = new Machine(await createMachine("busybox", given, this.parts));
    const guest = this.parts.engine.guests.at(-1) ?? assert.fail();
    return { machine, agent: guest.agentDouble };
  }
}

async function until(isSo: () => boolean): Promise<void> {
  for (let tries = 0; tries < 500 && !isSo(); tries++) await delay(5);
  assert.ok(isSo());
}

/** Long enough for the guest to be asked, if it were to be. */
const aWhile = (): Promise<void> => delay(10 * reclaimAfterMs);

test("after a command the guest is asked to drop its caches, once", async () => {
  using rig = new Rig();
  const { machine, agent } = await rig.start();
  await using _ = machine;
  await aWhile();
  assert.equal(agent.reclaims, 0, "nobody has used it");
  await machine.exec(["true"]);
  await until(() => agent.reclaims === 1);
  await aWhile();
  assert.equal(agent.reclaims, 1);
  assert.equal((await machine.info()).reclaimAfterMs, reclaimAfterMs);
});

test("a command that runs is a use, however long; a main command is none", async () => {
  using rig = new Rig();
  const { machine, agent } = await rig.start({ command: ["sleep"] });
  await using _ = machine;
  await until(() => agent.reclaims === 1);
  const running = machine.exec(["sleep"]);
  await running.pid;
  await aWhile();
  assert.equal(agent.reclaims, 1);
  await running.kill();
  await running;
  await until(() => agent.reclaims === 2);
});

test("with reclaimAfterMs: false nothing is asked of the guest", async () => {
  using rig = new Rig();
  const { machine, agent } = await rig.start({ reclaimAfterMs: false });
  await using _ = machine;
  await machine.exec(["true"]);
  await aWhile();
  assert.equal(agent.reclaims, 0);
  assert.equal((await machine.info()).reclaimAfterMs, undefined);
});

test("nor where the host would have nothing of it", async () => {
  using rig = new Rig({ takesFreedMemory: false });
  const { machine, agent } = await rig.start();
  await using _ = machine;
  await machine.exec(["true"]);
  await aWhile();
  assert.equal(agent.reclaims, 0);
});

test("a guest that cannot, or does not answer, works on", async () => {
  using rig = new Rig();
  const { machine, agent } = await rig.start();
  await using _ = machine;
  agent.onReclaim = async () => assert.fail("no such thing");
  await machine.exec(["true"]);
  await until(() => agent.reclaims === 1);
  agent.onReclaim = () => new Promise(() => {});
  await machine.exec(["true"]);
  await until(() => agent.reclaims === 2);
  assert.equal((await machine.exec(["true"])).exitCode, 0);
});

test("a guest of which a snapshot is made, or that is reset, is not asked meanwhile", async () => {
  using rig = new Rig();
  const { machine, agent } = await rig.start();
  await using _ = machine;
  // From the guest's freezing until it goes on.
  agent.thaw = async () => {
    await aWhile();
    assert.equal(agent.reclaims, 0);
  };
  await machine.exec(["true"]);
  await machine.snapshot();
  await until(() => agent.reclaims === 1);
  await machine.exec(["true"]);
  await machine.reset();
  await aWhile();
  assert.equal(agent.reclaims, 1, "one that was reset has not been used");
  await machine.exec(["true"]);
  await until(() => agent.reclaims === 2);
});

test("a copy goes by its own options, a fork by its source's", async () => {
  using rig = new Rig();
  const { machine } = await rig.start();
  await using _ = machine;
  const { id } = await machine.snapshot();
  const options = { snapshot: id, home: rig.root };
  await using copy = new Machine(await restoreMachine(options, rig.parts));
  assert.equal((await copy.info()).reclaimAfterMs, 15_000);
  const link = await createMachine("busybox", { home: rig.root, reclaimAfterMs: false }, rig.parts);
  await using _source = new Machine(link);
  const [forked] = await forkMachine(link, { count: 1 }, rig.parts);
  await using fork = new Machine(forked ?? assert.fail());
  assert.equal((await fork.info()).reclaimAfterMs, undefined);
});

test("a machine that has ended is asked for nothing any more", async () => {
  using rig = new Rig();
  const { machine, agent } = await rig.start();
  await machine.exec(["true"]);
  await machine.kill();
  await aWhile();
  assert.equal(agent.reclaims, 0);
});
