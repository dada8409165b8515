// Snapshots of machines that write all the while. Their memory is copied while they run, and the snapshot is of the moment at
// which they stood still.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { connect } from "node:net";
import { describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { captureMachine } from "../../src/engine/vmm/capture.ts";
import type { VmmMachine } from "../../src/engine/vmm/machine.ts";
import { privatePages } from "../../src/engine/vmm/private-pages.ts";
import { thisHost } from "../../src/engine/vmm/this-host.ts";
import { gpa } from "../../src/memory/address.ts";
import type { GuestMemory } from "../../src/memory/guest-memory.ts";
import type { SnapshotLease } from "../../src/snapshot/host/snapshot-store.ts";
import { SnapshotWriter } from "../../src/snapshot/host/snapshot-writer.ts";
import { readRuns } from "../../src/snapshot/host/testing/snapshot-rig.ts";
import { PageMap } from "../../src/snapshot/page-map.ts";
import { openResources } from "../../src/sys/open-resources.ts";
import { driverKernel, queuePlace, rewrite, rewrittenAt } from "./tiny-driver.ts";
import { memoryBytes, noKvm, pausedBeyond, request, TinyMachines } from "./tiny-machines.ts";

const MiB = 2 ** 20;
const page = 4096;
const memoryMiB = 64;
/** Memory that the guests do not use: enough of it that it is worth copying ahead. */
const filledAt = 48 * MiB;
const filledLength = 8 * MiB;

describe("a machine whose memory is copied while it runs", { skip: noKvm }, () => {
  for (const origin of ["boot", "snapshot"] as const)
    for (const [pages, turns] of [
      [200, 10],
      [4000, 1],
    ] as const)
      test(`has the memory of when it stood still, of ${pages} pages that are rewritten (origin: ${origin})`, async () => {
        using tiny = new TinyMachines();
        await using machine = await started(tiny, { pages, turns, origin });
        for (let round = 0; round < 5; round++) {
          const { writer, id } = await captured(tiny, machine);
          assert.ok(writer.passes.length >= 1);
          await using lease = await tiny.store.use(id, { verify: "full" });
          assert.equal(lease.snapshot.manifest.parent, machine.parent?.snapshot.id);
          assert.equal(Buffer.compare(readRuns(lease.snapshot.memory), writer.paused), 0);
        }
        const { writer, id } = await captured(tiny, machine);
        await using copy = await tiny.restore(id, { memoryMiB });
        const { content } = await copy.pause();
        const restored = memoryBytes(content);
        // It may have run a little since.
        restored.set(writer.paused.subarray(rewrittenAt, filledAt), rewrittenAt);
        const differing: number[] = [];
        for (let at = 16 * MiB; at < restored.length; at += page)
          if (Buffer.compare(restored.subarray(at, at + page), writer.paused.subarray(at, at + page)) !== 0)
            differing.push(at / page);
        assert.deepEqual(differing, []);
      });

  const byTheHost = {
    boot: async (memory: GuestMemory, machine: VmmMachine) => {
      await giveBack(memory, [filledAt / page + 3, filledAt / page + 4]);
      await receive(memory, machine);
    },
    // A restored guest's driver is sent nothing before it knows that its connections are gone, which this one never learns.
    snapshot: (memory: GuestMemory) => giveBack(memory, [filledAt / page + 3, filledAt / page + 4]),
  };
  for (const origin of ["boot", "snapshot"] as const)
    test(`has what the host alone has changed meanwhile: what devices write, and memory given back (origin: ${origin})`, async () => {
      using tiny = new TinyMachines();
      await using machine = await started(tiny, { pages: 10, turns: 10, origin });
      const { writer, id } = await captured(tiny, machine, {
        afterFirstPass: () => machine.whileKept(({ vm }) => byTheHost[origin](vm.memory, machine)),
      });
      await using lease = await tiny.store.use(id, { verify: "full" });
      const memory = readRuns(lease.snapshot.memory);
      const filled = [2, 3, 4, 5].map((at) => memory[filledAt + at * page]);
      assert.deepEqual(filled, [0x5a, 0, 0, 0x5a]);
      assert.equal(Buffer.compare(memory, writer.paused), 0);
    });

  test("has written no page but those that were copied", async () => {
    using tiny = new TinyMachines();
    await using machine = await started(tiny, { pages: 3000, turns: 1, origin: "snapshot" });
    const { writer } = await captured(tiny, machine, {
      whilePaused: ({ copied }) =>
        machine.whileKept(async ({ ram }) => {
          for (const { start, count } of privatePages(ram).runs())
            for (let at = start; at < start + count; at++) assert.ok(copied.has(at), `page ${at}`);
        }),
    });
    assert.ok(writer.copied.count > filledLength / page);
  });

  test("that has written little stands still at once", async () => {
    using tiny = new TinyMachines();
    await using machine = await started(tiny, { pages: 100, turns: 100, origin: "snapshot", filled: 0 });
    const { writer, id } = await captured(tiny, machine);
    assert.deepEqual(writer.passes, []);
    await using lease = await tiny.store.use(id, { verify: "full" });
    assert.equal(Buffer.compare(readRuns(lease.snapshot.memory), writer.paused), 0);
  });

  // It cannot be gone before the pass is over.
  for (const [when, hooks] of [
    ["during a pass", (kill: () => Promise<void>): Hooks => ({ duringFirstPass: async () => void kill() })],
    ["after a pass", (kill: () => Promise<void>): Hooks => ({ afterFirstPass: async () => void kill() })],
    ["before it stands still", (kill: () => Promise<void>): Hooks => ({ beforePause: kill })],
  ] as const)
    test(`that is killed ${when} ends, the snapshot fails with a typed error, and nothing is left`, async () => {
      using tiny = new TinyMachines();
      const before = openResources();
      const machine = await started(tiny, { pages: 100, turns: 100, origin: "snapshot" });
      const snapshots = (await tiny.store.list()).length;
      const killed = captured(
        tiny,
        machine,
        hooks(() => machine.kill()),
      );
      await assert.rejects(killed, { code: "MACHINE_EXITED" });
      assert.deepEqual(await machine.exited, { kind: "killed" });
      assert.equal((await tiny.store.list()).length, snapshots);
      assert.deepEqual(readdirSync(tiny.home.temporary), []);
      await machine.parent?.[Symbol.asyncDispose]();
      assert.equal(openResources().mapping, before.mapping);
    });

  test("goes on when its snapshot fails, and can be asked for another one", async () => {
    using tiny = new TinyMachines();
    await using machine = await started(tiny, { pages: 100, turns: 100, origin: "snapshot" });
    const fail = async (): Promise<void> => {
      throw new RangeError("not now");
    };
    const failures = [
      { duringFirstPass: fail },
      { afterFirstPass: fail },
      { beforePause: fail },
      { whilePaused: fail },
    ];
    for (const failure of failures)
      await assert.rejects(captured(tiny, machine, failure), { message: "not now" });
    const { writer, id } = await captured(tiny, machine);
    await using lease = await tiny.store.use(id, { verify: "full" });
    assert.equal(Buffer.compare(readRuns(lease.snapshot.memory), writer.paused), 0);
    assert.deepEqual(readdirSync(tiny.home.temporary), []);
  });
});

interface Hooks {
  readonly duringFirstPass?: () => Promise<void>;
  readonly afterFirstPass?: () => Promise<void>;
  readonly beforePause?: () => Promise<void>;
  readonly whilePaused?: (writer: WatchedWriter) => Promise<void>;
}

/** Keeps what it is given to write, and lets others in at every step. */
class WatchedWriter extends SnapshotWriter {
  /** How many pages each pass copied. */
  readonly passes: number[] = [];
  readonly copied: PageMap = new PageMap((memoryMiB * MiB) / page);
  /** The memory when the machine stood still. */
  paused: Buffer = Buffer.alloc(0);
  readonly #hooks: Hooks;

  constructor(home: ConstructorParameters<typeof SnapshotWriter>[0], hooks: Hooks) {
    super(home);
    this.#hooks = hooks;
  }

  override async copyMemory(...[content, options]: Parameters<SnapshotWriter["copyMemory"]>): Promise<void> {
    const candidates = options?.candidates ?? PageMap.full(this.copied.pages);
    this.copied.addAll(candidates);
    const isFirst = this.passes.push(candidates.count) === 1;
    const copying = super.copyMemory(content, options);
    const during = isFirst ? this.#hooks.duringFirstPass?.() : undefined;
    // As the one who copies does: nothing is left under way.
    await Promise.allSettled([copying, during]);
    await copying;
    await during;
    if (isFirst) await this.#hooks.afterFirstPass?.();
  }

  override async captureMemory(
    ...[content, options]: Parameters<SnapshotWriter["captureMemory"]>
  ): Promise<void> {
    this.paused = memoryBytes(content);
    if (options?.candidates !== undefined) this.copied.addAll(options.candidates);
    await this.#hooks.whilePaused?.(this);
    await super.captureMemory(content, options);
  }
}

type Started = VmmMachine & { parent?: SnapshotLease };

/** A machine whose guest rewrites pages, and that has memory filled by hand. */
async function started(
  tiny: TinyMachines,
  options: { pages: number; turns: number; origin: "boot" | "snapshot"; filled?: number },
): Promise<Started> {
  const { origin, filled = filledLength } = options;
  const booted = tiny.boot(driverKernel(rewrite(options)), { memoryMiB });
  await pausedBeyond(booted, 0n);
  booted.resume();
  let machine: Started = booted;
  if (origin === "snapshot") {
    const id = await booted.capture(request("snapshot"));
    await booted.kill();
    machine = await tiny.restore(id, { memoryMiB });
    machine.parent = await tiny.store.use(id);
  }
  const { content } = await machine.pause();
  for (let at = filledAt; at < filledAt + filled; at += MiB) content.view(at, MiB).fill(0x5a);
  machine.resume();
  return machine;
}

async function captured(
  tiny: TinyMachines,
  machine: Started,
  hooks: Hooks = {},
): Promise<{ writer: WatchedWriter; id: string }> {
  const config = tiny.config({ memoryMiB });
  await using writer = new WatchedWriter(tiny.home, hooks);
  const context = { writer, host: thisHost(config), kernel: config.kernel, parent: machine.parent?.snapshot };
  const onPausing = async (): Promise<[]> => {
    await hooks.beforePause?.();
    return [];
  };
  const id = await captureMachine(machine, context, { ...request("snapshot"), onPausing });
  return { writer, id };
}

/** As the guest's balloon driver: gives pages to the host, and waits until it has taken them. */
async function giveBack(memory: GuestMemory, pages: readonly number[]): Promise<void> {
  const { descriptors, driver, device } = queuePlace(2, 0);
  const listAt = 0x33_0000;
  for (const [index, number] of pages.entries()) memory.setU32(gpa(listAt + 4 * index), number);
  memory.setU32(gpa(descriptors), listAt);
  memory.setU32(gpa(descriptors + 8), pages.length * 4);
  const before = memory.u16(gpa(device + 2));
  memory.storeRelease16(gpa(driver + 2), memory.u16(gpa(driver + 2)) + 1);
  await until(() => memory.u16(gpa(device + 2)) !== before);
}

/** Has the vsock device write a packet into the guest's memory. */
async function receive(memory: GuestMemory, machine: VmmMachine): Promise<void> {
  const { device } = queuePlace(0, 0);
  const before = memory.u16(gpa(device + 2));
  const client = connect(machine.vsockSocket);
  client.on("error", () => {});
  client.write("CONNECT 52\n");
  await until(() => memory.u16(gpa(device + 2)) !== before);
  client.destroy();
}

async function until(isDone: () => boolean): Promise<void> {
  for (let tries = 0; tries < 500 && !isDone(); tries++) await delay(10);
  assert.ok(isDone());
}
