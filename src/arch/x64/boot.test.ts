import assert from "node:assert/strict";
import { test } from "node:test";
import { gpa } from "../../memory/address.ts";
import { HeapMemory } from "../../memory/heap-memory.ts";
import { bootLinux } from "./boot.ts";
import { bootParams } from "./boot-params.ts";
import {
  BOOT_PARAMS_START,
  COMMAND_LINE_START,
  HOLE_END,
  HOLE_START,
  pmemStart,
  ramRegions,
} from "./layout.ts";

const GiB = 2 ** 30;
const kernel = { entry: 0x100_0200, end: 0x200_0000, initramfsLimit: HOLE_START };

function e820(memoryBytes: number): number[][] {
  const page = bootParams({ kernel, memoryBytes, initramfs: undefined, commandLineLength: 0 });
  const view = new DataView(page.buffer);
  return Array.from({ length: view.getUint8(0x1e8) }, (_, index) => [
    Number(view.getBigUint64(0x2d0 + index * 20, true)),
    Number(view.getBigUint64(0x2d8 + index * 20, true)),
    view.getUint32(0x2e0 + index * 20, true),
  ]);
}

test("the memory map of a small machine ends below the hole", () => {
  assert.deepEqual(e820(64 * 2 ** 20), [
    [0, 0x9_fc00, 1],
    [0x9_fc00, 0x6_0400, 2],
    [0x10_0000, 63 * 2 ** 20, 1],
  ]);
});

test("memory beyond the hole goes on at 4 GiB, and none is lost", () => {
  assert.deepEqual(e820(6 * GiB).slice(2), [
    [0x10_0000, HOLE_START - 0x10_0000, 1],
    [HOLE_END, 3 * GiB, 1],
  ]);
  for (const size of [GiB, 3 * GiB, 3 * GiB + 4096, 9 * GiB])
    assert.equal(
      ramRegions(size).reduce((sum, { length }) => sum + length, 0),
      size,
    );
});

test("pmem starts above all memory at a multiple of 128 MiB", () => {
  assert.equal(pmemStart(GiB), HOLE_END);
  assert.equal(pmemStart(3 * GiB + 4096), HOLE_END + 128 * 2 ** 20);
});

test("bootLinux() writes what the entry state points at", () => {
  const memory = new HeapMemory([{ start: gpa(0), length: 4 * 2 ** 20 }]);
  const bzImage = new Uint8Array(2048);
  const header = new DataView(bzImage.buffer);
  header.setUint8(0x1f1, 1);
  header.setUint32(0x202, 0x5372_6448, true);
  header.setUint16(0x206, 0x020f, true);
  header.setUint32(0x22c, 0x7fff_ffff, true);
  header.setUint16(0x236, 1, true);
  header.setUint32(0x258, 0x10_0000, true);
  const file = (bytes: Uint8Array) => ({
    name: "file",
    length: bytes.length,
    read: (position: number, into: Uint8Array) => into.set(bytes.subarray(position, position + into.length)),
  });
  const state = bootLinux(memory, {
    memoryBytes: 4 * 2 ** 20,
    cpus: 2,
    kernel: file(bzImage),
    initramfs: file(new Uint8Array(5000).fill(7)),
    commandLine: "console=ttyS0",
    slots: [],
  });
  assert.equal(state.registers.rip, 0x10_0200n);
  assert.equal(state.registers.rsi, BigInt(BOOT_PARAMS_START));
  const initramfs = memory.u32(gpa(BOOT_PARAMS_START + 0x218));
  assert.equal(initramfs, 4 * 2 ** 20 - 8192);
  assert.equal(memory.u32(gpa(initramfs)), 0x0707_0707);
  assert.equal(memory.u32(gpa(COMMAND_LINE_START)), 0x736e_6f63);
  // Identity map: PML4 -> PDPT -> directory -> 2 MiB page; here the page at 1 GiB + 6 MiB.
  const pml4 = Number(state.control?.cr3);
  const pdpt = memory.u32(gpa(pml4)) & ~0xfff;
  const directory = memory.u32(gpa(pdpt + 8)) & ~0xfff;
  assert.equal(memory.u32(gpa(directory + 3 * 8)) & ~0xfff, GiB + 6 * 2 ** 20);
});
