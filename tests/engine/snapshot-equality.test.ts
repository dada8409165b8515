// What a snapshot gives back is what was saved: memory and state, through the files, for chains of snapshots, for forks.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { PausedMachine, VmmMachine } from "../../src/engine/vmm/machine.ts";
import { decodeMsrs } from "../../src/hypervisor/kvm/x64/msrs.ts";
import { parseState } from "../../src/hypervisor/state.ts";
import { AsyncDisposalStack } from "../../src/lifetime/async-disposal-stack.ts";
import { sha256 } from "../../src/snapshot/host/snapshot-files.ts";
import { snapshotFolder } from "../../src/snapshot/host/snapshot-folders.ts";
import { readRuns } from "../../src/snapshot/host/testing/snapshot-rig.ts";
import type { SavedComponent } from "../../src/snapshot/state-codec.ts";
import { openResources } from "../../src/sys/open-resources.ts";
import { driverKernel, randomBytesAt } from "./tiny-driver.ts";
import { counter, memoryBytes, noKvm, pausedBeyond, request, TinyMachines } from "./tiny-machines.ts";

const page = 4096;
/** Memory that the guests do not use. */
const spareAt = 8 * 2 ** 20;

describe("a restored machine", { skip: noKvm }, () => {
  for (const cpus of [1, 3])
    test(`has the memory and the state that were saved, of ${cpus} vCPU(s) and devices at work`, async () => {
      using tiny = new TinyMachines();
      const before = openResources();
      await using original = tiny.boot(driverKernel("idle"), { cpus });
      const paused = await pausedBeyond(original, 0n);
      paused.content.view(spareAt, 64 * page).set(randomBytes(64 * page));
      assert.notDeepEqual(Buffer.from(paused.content.view(randomBytesAt, 16)), Buffer.alloc(16));
      const saved = await capturedAsPaused(original, "snapshot");
      await original.kill();
      await using restored = await tiny.restore(saved.id, { cpus });
      const again = await restored.pause();
      assert.equal(Buffer.compare(memoryBytes(again.content), saved.memory), 0);
      assert.deepEqual(comparable(again.components), comparable(saved.components, { generations: 1 }));
      assert.deepEqual(again.slots, paused.slots);
      await restored.kill();
      assert.equal(openResources().mapping, before.mapping);
    });

  test("made of snapshots of copies of copies has each generation's memory, and each file only what changed", async () => {
    using tiny = new TinyMachines();
    await using original = tiny.boot(driverKernel("idle"));
    const paused = await pausedBeyond(original, 0n);
    paused.content.view(spareAt, 64 * page).set(randomBytes(64 * page));
    let saved = await capturedAsPaused(original, "snapshot");
    await original.kill();
    for (let generation = 1; generation <= 3; generation++) {
      await using machine = await tiny.restore(saved.id);
      const { content } = await machine.pause();
      assert.equal(Buffer.compare(memoryBytes(content), saved.memory), 0);
      const write = (at: number, bytes: Uint8Array): void =>
        content.view(spareAt + at * page, bytes.length).set(bytes);
      // New contents, contents that become zero, what was there already, and what had never been touched.
      write(generation, randomBytes(page));
      write(10 + generation, new Uint8Array(page));
      write(20, Uint8Array.from(content.view(spareAt + 20 * page, page)));
      write(100 + 3 * generation, randomBytes(2 * page));
      const parent = saved.id;
      saved = await capturedAsPaused(machine, "snapshot");
      await machine.kill();
      await using lease = await tiny.store.use(saved.id, { verify: "full" });
      const { manifest, memory } = lease.snapshot;
      assert.equal(manifest.parent, parent);
      assert.equal(manifest.memory.pages, 4);
      assert.equal(Buffer.compare(readRuns(memory), saved.memory), 0);
    }
  });

  test("that counts is forked: all go on from the same moment, and none sees what another writes", async () => {
    using tiny = new TinyMachines();
    await using original = tiny.boot(driverKernel("count"), { cpus: 2 });
    const { content } = await pausedBeyond(original, 0n);
    const first = counter(content);
    const saved = await capturedAsPaused(original, "fork");
    const copies = await Promise.all([1, 2, 3].map(() => tiny.restore(saved.id, { cpus: 2 })));
    await using copiesGone = new AsyncDisposalStack();
    for (const copy of copies) copiesGone.use(copy);
    for (const [index, copy] of copies.entries()) {
      const paused = await pausedBeyond(copy, first);
      paused.content.view(spareAt, page).fill(index + 1);
      copy.resume();
    }
    for (const [index, copy] of copies.entries()) {
      const paused = await copy.pause();
      assert.deepEqual([...new Set(paused.content.view(spareAt, page))], [index + 1]);
      copy.resume();
    }
    const later = await pausedBeyond(original, first);
    assert.deepEqual([...new Set(later.content.view(spareAt, page))], [0]);
    original.resume();
    await original.kill();
    const folder = snapshotFolder(tiny.home, saved.id);
    for (const copy of copies) {
      assert.ok(existsSync(folder), "the copies still use it");
      await copy.kill();
    }
    await gone(folder);
  });
});

interface Saved {
  readonly id: string;
  readonly memory: Buffer;
  readonly components: readonly SavedComponent[];
}

/** Captures a machine that is paused already, and what it was then. It goes on afterwards. */
async function capturedAsPaused(machine: VmmMachine, kind: string): Promise<Saved> {
  const { content, components }: PausedMachine = await machine.pause();
  const memory = memoryBytes(content);
  return { id: await machine.capture(request(kind)), memory, components };
}

/**
 * The components, without what may differ:
 * - the paravirtual clock, the time-stamp counter with its deadline, and when each counter of the old timer was loaded, by
 *   the host's clock: time goes on, also for a machine that is paused;
 * - the configuration's generation: it is counted up by a restore, because the configuration may be another;
 * - the next local port of vsock: a restored machine has called its agent;
 * - what XSAVE holds of parts that the guest has not used: once a vCPU was in the guest, as before this pause it may have been, its
 *   header may say otherwise which parts are in their initial state, and their bytes mean nothing then.
 */
function comparable(
  components: readonly SavedComponent[],
  { generations = 0 } = {},
): Record<string, unknown> {
  const entries = components.flatMap(({ id, version, bytes }): [string, unknown][] => {
    if (id === "virtio-vsock") return [[id, version]];
    if (id === "vm" || id.startsWith("vcpu/")) return chunks(id, bytes);
    if (!id.startsWith("virtio-transport/")) return [[id, hex(bytes)]];
    const state = JSON.parse(Buffer.from(bytes).toString());
    return [[id, { ...state, configGeneration: state.configGeneration + generations }]];
  });
  return Object.fromEntries(entries);
}

/** Time-stamp counter, its offset, its deadline. */
const timeMsrs = [0x10, 0x3b, 0x6e0];

function chunks(id: string, bytes: Uint8Array): [string, unknown][] {
  return [...parseState(bytes).chunks].map(([name, chunk]) => {
    const path = `${id} ${name}`;
    if (name === "clock") return [path, "goes on"];
    if (name === "xsave") return [path, chunk.length];
    if (name === "pit") return [path, hex(withoutLoadTimes(chunk))];
    if (name !== "msrs") return [path, hex(chunk)];
    const msrs = decodeMsrs(chunk).filter(([index]) => !timeMsrs.includes(index));
    return [path, msrs.map(([index, value]) => `${index.toString(16)}: ${value.toString(16)}`)];
  });
}

/** `struct kvm_pit_channel_state` has 24 bytes, of which the last 8 are the time. */
function withoutLoadTimes(pit: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(pit);
  for (let channel = 0; channel < 3; channel++) copy.fill(0, channel * 24 + 16, channel * 24 + 24);
  return copy;
}

/** Long contents as their digest: a difference is printed. */
function hex(bytes: Uint8Array): string {
  return bytes.length <= 64 ? Buffer.from(bytes).toString("hex") : sha256(bytes);
}

async function gone(path: string): Promise<void> {
  for (let tries = 0; existsSync(path) && tries < 200; tries++) await delay(20);
  assert.equal(existsSync(path), false);
}
