// What may happen to a machine while a snapshot is made of it: the host has something for the guest, a device is at
// work, the machine ends. The snapshot is of one moment, and the process lives on.
import assert from "node:assert/strict";
import { connect } from "node:net";
import { describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { captureMachine } from "../../src/engine/vmm/capture.ts";
import type { VmmMachine } from "../../src/engine/vmm/machine.ts";
import { thisHost } from "../../src/engine/vmm/this-host.ts";
import { SupermachineError } from "../../src/errors/supermachine-error.ts";
import type { MemoryContent } from "../../src/snapshot/host/memory-content.ts";
import { SnapshotWriter } from "../../src/snapshot/host/snapshot-writer.ts";
import { readRuns } from "../../src/snapshot/host/testing/snapshot-rig.ts";
import { loadComponent } from "../../src/snapshot/state-codec.ts";
import { transportStateCodec } from "../../src/virtio/transport-state.ts";
import { driverKernel, queuePlace } from "./tiny-driver.ts";
import { counter, noKvm, pausedBeyond, request, TinyMachines } from "./tiny-machines.ts";

const MiB = 2 ** 20;

describe("while a snapshot is made", { skip: noKvm }, () => {
  test("what the host sends to the guest waits until the machine goes on", async () => {
    using tiny = new TinyMachines();
    await using machine = await booted(tiny, "count");
    const config = tiny.config();
    await using writer = new SlowWriter(tiny.home, async () => {
      const client = connect(machine.vsockSocket);
      client.on("error", () => {});
      client.write("CONNECT 52\n");
      await delay(200);
    });
    const context = { writer, host: thisHost(config), kernel: config.kernel };
    const id = await captureMachine(machine, context, request("snapshot"));
    await using lease = await tiny.store.use(id);
    const { components, memory } = lease.snapshot;
    const saved = components.find((component) => component.id === "virtio-transport/0") ?? assert.fail();
    const { nextUsed } = loadComponent(transportStateCodec, saved).queues[0] ?? assert.fail();
    const { device } = queuePlace(0, 0);
    assert.equal(readRuns(memory)[device + 2], nextUsed, "memory and state are of two moments");
    const delivered = (content: MemoryContent): number => content.view(device + 2, 1)[0] ?? 0;
    await until(machine, (content) => delivered(content) > nextUsed);
  });

  test("a device that is at work finishes first, and the machine goes on afterwards", async () => {
    using tiny = new TinyMachines();
    await using machine = await booted(tiny, "flush");
    for (let round = 0; round < 20; round++) {
      await machine.capture(request("snapshot"));
      const { content } = await machine.pause();
      const seen = counter(content);
      machine.resume();
      await until(machine, (now) => counter(now) > seen);
    }
  });

  test("a machine that ends meanwhile leaves a whole snapshot or a typed error", async () => {
    using tiny = new TinyMachines();
    for (const afterMs of [0, 1, 2, 5, 10, 20, 30, 50]) {
      await using machine = await booted(tiny, "count", 64);
      const { content } = await machine.pause();
      for (let at = 16 * MiB; at < 64 * MiB; at += MiB) content.view(at, MiB).fill(0x5a);
      machine.resume();
      const captured = machine.capture(request("snapshot")).catch((error: unknown) => error);
      await delay(afterMs);
      await machine.kill();
      assert.deepEqual(await machine.exited, { kind: "killed" });
      const result = await captured;
      if (result instanceof SupermachineError) assert.equal(result.code, "MACHINE_EXITED");
      else await assertFilled(tiny, String(result));
    }
  });

  test("a machine that ends meanwhile does not take away what its snapshot is based on", async () => {
    using tiny = new TinyMachines();
    await using original = await booted(tiny, "idle", 64);
    const fork = await original.capture(request("fork"));
    await using copy = await tiny.restore(fork, { memoryMiB: 64 });
    const { content } = await copy.pause();
    for (let at = 16 * MiB; at < 64 * MiB; at += MiB) content.view(at, MiB).fill(0x5a);
    copy.resume();
    const id = await copy.capture(request("snapshot", () => void copy.kill()));
    await copy.exited;
    await delay(200);
    await assertFilled(tiny, id);
  });

  test("a machine that is told to end and then to go on ends", async () => {
    using tiny = new TinyMachines();
    await using machine = await booted(tiny, "count");
    for (let round = 0; round < 5; round++) {
      await machine.pause();
      machine.resume();
    }
    await machine.pause();
    const killed = machine.kill();
    machine.resume();
    await killed;
    assert.deepEqual(await machine.exited, { kind: "killed" });
  });
});

/** Does something between pausing and copying, as if copying took long. */
class SlowWriter extends SnapshotWriter {
  readonly #first: () => Promise<void>;

  constructor(home: ConstructorParameters<typeof SnapshotWriter>[0], first: () => Promise<void>) {
    super(home);
    this.#first = first;
  }

  override async captureMemory(...parameters: Parameters<SnapshotWriter["captureMemory"]>): Promise<void> {
    await this.#first();
    await super.captureMemory(...parameters);
  }
}

/** A machine whose guest has its devices at work. */
async function booted(
  tiny: TinyMachines,
  then: Parameters<typeof driverKernel>[0],
  memoryMiB = 16,
): Promise<VmmMachine> {
  const machine = tiny.boot(driverKernel(then), { memoryMiB });
  await pausedBeyond(machine, 0n);
  machine.resume();
  return machine;
}

async function until(machine: VmmMachine, isDone: (content: MemoryContent) => boolean): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const { content } = await machine.pause();
    const done = isDone(content);
    machine.resume();
    if (done) return;
    await delay(20);
  }
  assert.fail("The guest does not go on");
}

async function assertFilled(tiny: TinyMachines, id: string): Promise<void> {
  await using lease = await tiny.store.use(id, { verify: "full" });
  const memory = readRuns(lease.snapshot.memory);
  assert.equal(Buffer.compare(memory.subarray(16 * MiB), Buffer.alloc(48 * MiB, 0x5a)), 0);
}
