// A machine that is paused, saved and restored while it works, with a guest of a few bytes.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { type PausedMachine, VmmMachine } from "../../src/engine/vmm/machine.ts";
import type { RamPiece } from "../../src/engine/vmm/machine-shell.ts";
import { loadMachineState } from "../../src/engine/vmm/machine-state.ts";
import { openResources } from "../../src/sys/open-resources.ts";
import { counterAt } from "./tiny-driver.ts";
import { tinyKernels } from "./tiny-kernel.ts";
import { counter, memoryBytes, noKvm, pausedBeyond, TinyMachines } from "./tiny-machines.ts";

const memoryMiB = 64;

describe("restoring a machine of the vmm engine", { skip: noKvm }, () => {
  let tiny: TinyMachines;
  before(() => {
    tiny = new TinyMachines();
  });
  after(() => tiny[Symbol.dispose]());

  const boot = (cpus = 1): VmmMachine => tiny.boot(tinyKernels.counter, { cpus, memoryMiB });

  /** Restores from what was saved, with memory from a file; the file's pages stay as they are. */
  const restore = (cpus: number, paused: PausedMachine, memory: string): VmmMachine =>
    VmmMachine.restore(tiny.config({ cpus, memoryMiB }), tiny.watch, {
      state: loadMachineState(paused.components, { cpus, slots: paused.slots.length }),
      memory: [{ file: memory, offset: 0, length: paused.content.length }],
      origin: "snapshot",
      wasConnected: false,
      workingSet: undefined,
    });

  for (const cpus of [1, 4])
    test(`goes on where ${cpus} vCPU(s) were paused, several times over, and the original goes on too`, async () => {
      const before = openResources();
      const original = boot(cpus);
      const paused = await pausedBeyond(original, 0n);
      const saved = counter(paused.content);
      await delay(30);
      assert.equal(counter(paused.content), saved, "a paused machine must not count");
      const memory = join(tiny.home.root, `memory-${cpus}`);
      writeFileSync(memory, memoryBytes(paused.content));
      original.resume();
      for (let copy = 0; copy < 3; copy++) {
        const restored = restore(cpus, paused, memory);
        await pausedBeyond(restored, saved);
        restored.resume();
        await restored.kill();
        assert.deepEqual(await restored.exited, { kind: "killed" });
      }
      await pausedBeyond(original, saved);
      original.resume();
      await original.kill();
      assert.deepEqual(openResources().mapping, before.mapping);
    });

  test("a machine is reset in place, many times, each time to the same memory", async () => {
    const original = boot(2);
    const paused = await pausedBeyond(original, 0n);
    const saved = counter(paused.content);
    const memory = join(tiny.home.root, "memory-reset");
    writeFileSync(memory, memoryBytes(paused.content));
    await assert.rejects(original.reset(), { code: "UNSUPPORTED" });
    await original.kill();
    await using machine = restore(2, paused, memory);
    const before = openResources();
    for (let use = 0; use < 20; use++) {
      const later = await pausedBeyond(machine, saved);
      fill(later.ram, 0xab);
      machine.resume();
      await machine.reset();
      const { ram, content } = await machine.pause();
      const restored = counter(content);
      assert.ok(restored >= saved, `counted from ${saved}, not ${restored}`);
      const others = differences(ram, memory).filter((page) => page !== counterAt / 4096);
      assert.deepEqual(others, []);
      machine.resume();
    }
    assert.deepEqual(openResources(), before);
  });

  test("a state that lacks a part, or is of another shape, is refused and leaves nothing behind", async () => {
    const original = boot();
    const paused = await original.pause();
    const memory = join(tiny.home.root, "memory");
    writeFileSync(memory, memoryBytes(paused.content));
    original.resume();
    await original.kill();
    const before = openResources();
    for (const { id } of paused.components) {
      const components = paused.components.filter((component) => component.id !== id);
      assert.throws(() => restore(1, { ...paused, components }, memory), { code: "SNAPSHOT_INVALID" }, id);
    }
    assert.throws(() => restore(2, paused, memory), { code: "SNAPSHOT_INVALID" });
    assert.deepEqual(openResources(), before);
  });
});

/** Scribbles over memory that the guest does not use. */
function fill(ram: readonly RamPiece[], value: number): void {
  ram[0]?.mapping.bytes(32 * 2 ** 20, 2 ** 20).fill(value);
}

/** Numbers of the pages that are not as in the file. */
function differences(ram: readonly RamPiece[], path: string): number[] {
  const saved = readFileSync(path);
  const bytes = ram[0]?.mapping.bytes() ?? new Uint8Array(0);
  const found: number[] = [];
  for (let at = 0; at < bytes.length; at += 4096)
    if (Buffer.compare(bytes.subarray(at, at + 4096), saved.subarray(at, at + 4096)) !== 0)
      found.push(at / 4096);
  return found;
}
