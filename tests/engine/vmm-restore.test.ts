// A machine that is paused, saved and restored while it works, with a guest of a few bytes.
import assert from "node:assert/strict";
import {
  accessSync,
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { EngineConfig } from "../../src/engine/engine.ts";
import { type PausedMachine, VmmMachine } from "../../src/engine/vmm/machine.ts";
import type { RamPiece } from "../../src/engine/vmm/machine-shell.ts";
import { loadMachineState } from "../../src/engine/vmm/machine-state.ts";
import { DescriptorWatch } from "../../src/sys/linux/descriptor-watch.ts";
import { openResources } from "../../src/sys/open-resources.ts";
import { tinyKernels, writeTinyKernel } from "./tiny-kernel.ts";

const counterAt = 0x20_0000;

describe("restoring a machine of the vmm engine", {
  skip: canUseKvm() ? false : "no access to /dev/kvm",
}, () => {
  let folder: string;
  let machines = 0;
  const watch = new DescriptorWatch();
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "restore-"));
    writeFileSync(join(folder, "initramfs"), "x");
    writeFileSync(join(folder, "rootfs"), new Uint8Array(4096));
  });
  after(() => rmSync(folder, { recursive: true }));

  const config = (cpus = 1): EngineConfig => {
    const directory = join(folder, String(machines++));
    mkdirSync(directory);
    return {
      id: "0123456789ab",
      architecture: "x64",
      cpus,
      memoryMiB: 64,
      kernel: {
        image: writeTinyKernel(folder, tinyKernels.counter),
        initramfs: join(folder, "initramfs"),
        release: "tiny",
      },
      rootfs: join(folder, "rootfs"),
      network: "none",
      directory,
      home: folder,
      origin: { kind: "boot" },
    };
  };

  /** Restores from what was saved, with memory from a file; the file's pages stay as they are. */
  const restore = (cpus: number, paused: PausedMachine, memory: string): VmmMachine =>
    VmmMachine.restore(config(cpus), watch, {
      state: loadMachineState(paused.components, { cpus, slots: paused.slots.length }),
      memory: [{ file: memory, offset: 0, length: paused.content.length }],
      origin: "snapshot",
      wasConnected: false,
      workingSet: undefined,
    });

  for (const cpus of [1, 4])
    test(`goes on where ${cpus} vCPU(s) were paused, several times over, and the original goes on too`, async () => {
      const before = openResources();
      const original = VmmMachine.boot(config(cpus), watch);
      const { paused, count: saved } = await pausedBeyond(original, 0n);
      await pause(30);
      assert.equal(counter(paused.ram), saved, "a paused machine must not count");
      const memory = join(folder, `memory-${cpus}`);
      writeMemory(memory, paused.ram);
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
    const original = VmmMachine.boot(config(2), watch);
    const { paused, count: saved } = await pausedBeyond(original, 0n);
    const memory = join(folder, "memory-reset");
    writeMemory(memory, paused.ram);
    await assert.rejects(original.reset(), { code: "UNSUPPORTED" });
    await original.kill();
    await using machine = restore(2, paused, memory);
    const before = openResources();
    for (let use = 0; use < 20; use++) {
      const { paused: later, count } = await pausedBeyond(machine, saved);
      assert.ok(count > saved);
      fill(later.ram, 0xab);
      machine.resume();
      await machine.reset();
      const { ram } = await machine.pause();
      const restored = counter(ram);
      assert.ok(restored >= saved, `counted from ${saved}, not ${restored}`);
      const others = differences(ram, memory).filter((page) => page !== counterAt / 4096);
      assert.deepEqual(others, []);
      machine.resume();
    }
    assert.deepEqual(openResources(), before);
  });

  test("a state that lacks a part, or is of another shape, is refused and leaves nothing behind", async () => {
    const original = VmmMachine.boot(config(), watch);
    const paused = await original.pause();
    const memory = join(folder, "memory");
    writeMemory(memory, paused.ram);
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

/** Pauses the machine again and again until its guest has counted beyond a number; a thread takes a while to start. */
async function pausedBeyond(
  machine: VmmMachine,
  least: bigint,
): Promise<{ paused: PausedMachine; count: bigint }> {
  for (let tries = 0; tries < 100; tries++) {
    const paused = await machine.pause();
    const count = counter(paused.ram);
    if (count > least) return { paused, count };
    machine.resume();
    await pause(50);
  }
  assert.fail(`The guest did not count beyond ${least}`);
}

function counter(ram: readonly RamPiece[]): bigint {
  const [window] = ram[0]?.mapping.windows() ?? [];
  return new DataView(window?.buffer as ArrayBuffer).getBigUint64(counterAt, true);
}

/** Scribbles over memory that the guest does not use. */
function fill(ram: readonly RamPiece[], value: number): void {
  const [window] = ram[0]?.mapping.windows() ?? [];
  new Uint8Array(window?.buffer as ArrayBuffer, 32 * 2 ** 20, 2 ** 20).fill(value);
}

/** Numbers of the pages that are not as in the file. */
function differences(ram: readonly RamPiece[], path: string): number[] {
  const saved = readFileSync(path);
  const [window] = ram[0]?.mapping.windows() ?? [];
  const bytes = new Uint8Array(window?.buffer as ArrayBuffer);
  const found: number[] = [];
  for (let at = 0; at < bytes.length; at += 4096)
    if (Buffer.compare(bytes.subarray(at, at + 4096), saved.subarray(at, at + 4096)) !== 0)
      found.push(at / 4096);
  return found;
}

function writeMemory(path: string, ram: readonly RamPiece[]): void {
  const file = openSync(path, "w");
  for (const { mapping } of ram)
    for (const { buffer } of mapping.windows()) writeSync(file, new Uint8Array(buffer));
  closeSync(file);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function canUseKvm(): boolean {
  try {
    accessSync("/dev/kvm", constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
