import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, test } from "node:test";
import type { AgentHub, OpenAgent } from "./agent-hub.ts";
import { createMachine } from "./create-machine.ts";
import { Machine } from "./machine.ts";
import type { MachineLink } from "./machine-link.ts";
import { restoreMachine } from "./restore-machine.ts";
import { Snapshot } from "./snapshot.ts";
import { forkMachine, snapshotMachine } from "./snapshot-machine.ts";
import { type FakeParts, fakeParts } from "./testing/fake-parts.ts";
import { TemporaryHome } from "./testing/temporary-home.ts";
import type { MachineOptions } from "./types.ts";

afterEach(() => {
  delete process.env["FAKE_MONITOR"];
});

/** A home with a root file system, and an engine that makes snapshots. */
class Rig extends TemporaryHome {
  readonly #rootfs = join(this.root, "rootfs", "rootfs.erofs");
  readonly parts: FakeParts = { ...fakeParts({ snapshots: true }), prepareRootfs: async () => this.#rootfs };

  constructor() {
    super();
    mkdirSync(dirname(this.#rootfs), { recursive: true });
    writeFileSync(this.#rootfs, "");
  }

  start(options: MachineOptions = {}): Promise<MachineLink> {
    return createMachine("busybox", { home: this.root, ...options }, this.parts);
  }

  async names(): Promise<string[]> {
    return (await Machine.list({ all: true, home: this.root })).map(({ name }) => name).sort();
  }
}

test("forks have the names they are given, and no snapshot is left of them", async () => {
  using rig = new Rig();
  const link = await rig.start({ name: "first" });
  await using _ = new Machine(link);
  const copies = await forkMachine(link, { count: 2, names: ["b", "a"] }, rig.parts);
  assert.deepEqual(
    [copies.map(({ name }) => name), await rig.names()],
    [
      ["b", "a"],
      ["a", "b", "first"],
    ],
  );
  assert.ok(copies.every(({ owned }) => owned));
  assert.deepEqual(await Snapshot.list({ all: true, home: rig.root }), []);
  for (const copy of copies) await new Machine(copy)[Symbol.asyncDispose]();
});

test("when one fork cannot be made there is none", async () => {
  using rig = new Rig();
  const link = await rig.start({ name: "first" });
  await using _ = new Machine(link);
  const names = ["a", "first", "b"];
  await assert.rejects(forkMachine(link, { count: 3, names }, rig.parts), { code: "NAME_IN_USE" });
  assert.deepEqual(await rig.names(), ["first"]);
  assert.deepEqual(await Snapshot.list({ all: true, home: rig.root }), []);
});

test("an impossible number of forks, or of names for them, is refused before the machine stands still", async () => {
  using rig = new Rig();
  const link = await rig.start();
  await using _ = new Machine(link);
  for (const options of [{ count: 0 }, { count: 1.5 }, { count: 257 }, { count: 2, names: ["a"] }])
    await assert.rejects(forkMachine(link, options, rig.parts), { code: "INVALID_ARGUMENT" });
});

test("detached forks live in processes of their own", async () => {
  using rig = new Rig();
  const link = await rig.start();
  await using _ = new Machine(link);
  process.env["FAKE_MONITOR"] = "makes snapshots";
  const [copy] = await forkMachine(link, { count: 1, detached: true }, rig.parts);
  assert.ok(copy !== undefined && !copy.owned);
  const { pid, detached } = await copy.info();
  assert.deepEqual([detached, pid === process.pid], [true, false]);
  assert.equal((await copy.kill()).reason, "killed");
  await copy.remove();
  copy.close();
});

test("a copy without a main command can be given one; one that goes on cannot be replaced", async () => {
  using rig = new Rig();
  const options = { home: rig.root };
  {
    const link = await rig.start();
    await using _ = new Machine(link);
    await snapshotMachine(link, "idle", {});
    const copy = await restoreMachine({ ...options, snapshot: "idle", command: ["polite"] }, rig.parts);
    await using _copy = new Machine(copy);
    assert.deepEqual((await copy.info()).command, ["polite"]);
  }
  const link = await rig.start({ command: ["polite"] });
  await using _ = new Machine(link);
  await snapshotMachine(link, "busy", {});
  await assert.rejects(restoreMachine({ ...options, snapshot: "busy", command: ["echo"] }, rig.parts), {
    code: "INVALID_ARGUMENT",
  });
});

test("of two resets at once, the second closes the connection that the first has opened", async () => {
  using rig = new Rig();
  const open = new Set<AgentHub>();
  const openAgent: OpenAgent = async (stream, onOperations) => {
    const hub = await rig.parts.openAgent(stream, onOperations);
    open.add(hub);
    return { ...hub, close: (reason) => open.delete(hub) && hub.close(reason) };
  };
  const machine = await createMachine("busybox", { home: rig.root }, { ...rig.parts, openAgent });
  await Promise.all([machine.reset(), machine.reset()]);
  const openAfterwards = open.size;
  await machine.kill();
  assert.deepEqual([openAfterwards, open.size], [1, 0]);
});

test("a snapshot that waits for a reset speaks to the agent that is there afterwards", async () => {
  using rig = new Rig();
  const openAgent: OpenAgent = async (stream, onOperations) => {
    const { agent, ...hub } = await rig.parts.openAgent(stream, onOperations);
    let isClosed = false;
    const freeze = async () => assert.equal(isClosed, false);
    const close = (reason?: Error) => {
      isClosed = true;
      hub.close(reason);
    };
    return { ...hub, agent: Object.assign(Object.create(agent), { freeze }), close };
  };
  const machine = await createMachine("busybox", { home: rig.root }, { ...rig.parts, openAgent });
  const [, outcome] = await Promise.allSettled([
    machine.reset(),
    machine.snapshot({ kind: "snapshot", labels: {} }),
  ]);
  await machine.kill();
  assert.equal(outcome.status, "fulfilled");
});
