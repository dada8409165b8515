import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import { gpa } from "../../memory/address.ts";
import { HeapMemory } from "../../memory/heap-memory.ts";
import type { BootFile } from "./kernel-file.ts";
import { loadKernel } from "./load-kernel.ts";

const MiB = 2 ** 20;

function file(bytes: Uint8Array): BootFile {
  return {
    name: "kernel",
    length: bytes.length,
    read: (position, into) => {
      assert.ok(position >= 0 && position + into.length <= bytes.length, "the loader read outside the file");
      into.set(bytes.subarray(position, position + into.length));
    },
  };
}

/** An ELF file with one segment of 16 bytes (32 in memory) at 1 MiB. */
function elf(change: (view: DataView) => void = () => {}): Uint8Array {
  const bytes = new Uint8Array(0x1010);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(18, 62, true);
  view.setUint32(24, MiB + 4, true);
  view.setUint32(32, 64, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, 1, true);
  view.setUint32(64, 1, true);
  view.setUint32(64 + 8, 0x1000, true);
  view.setUint32(64 + 24, MiB, true);
  view.setUint32(64 + 32, 16, true);
  view.setUint32(64 + 40, 32, true);
  bytes.fill(0xab, 0x1000);
  change(view);
  return bytes;
}

/** A bzImage with one setup sector and 1 KiB of protected-mode code, preferring to lie at 1 MiB. */
function bzImage(change: (view: DataView) => void = () => {}): Uint8Array {
  const bytes = new Uint8Array(1024 + 1024);
  const view = new DataView(bytes.buffer);
  view.setUint8(0x1f1, 1);
  view.setUint8(0x201, 0x6a);
  view.setUint32(0x202, 0x5372_6448, true);
  view.setUint16(0x206, 0x020f, true);
  view.setUint32(0x22c, 0x7fff_ffff, true);
  view.setUint16(0x236, 1, true);
  view.setUint32(0x258, MiB, true);
  view.setUint32(0x260, 8192, true);
  bytes.fill(0xcd, 1024);
  change(view);
  return bytes;
}

function memory(): HeapMemory {
  return new HeapMemory([{ start: gpa(0), length: 2 * MiB }]);
}

test("loadKernel() puts a vmlinux's segments at their physical addresses", () => {
  const guest = memory();
  const kernel = loadKernel(guest, file(elf()));
  assert.equal(kernel.entry, MiB + 4);
  assert.equal(kernel.end, MiB + 32);
  assert.equal(guest.u32(gpa(MiB + 12)), 0xabab_abab);
  assert.equal(guest.u32(gpa(MiB + 16)), 0);
});

test("loadKernel() puts a bzImage's protected-mode code where it prefers and enters it 512 bytes in", () => {
  const guest = memory();
  const kernel = loadKernel(guest, file(bzImage()));
  assert.equal(kernel.entry, MiB + 0x200);
  assert.equal(kernel.end, MiB + 8192);
  assert.equal(guest.u32(gpa(MiB)), 0xcdcd_cdcd);
  assert.equal(kernel.setupHeader?.length, 0x202 + 0x6a - 0x1f1);
});

const refusals: [string, Uint8Array, RegExp][] = [
  ["neither kind", new Uint8Array(4096), /neither/],
  ["an empty file", new Uint8Array(0), /cut short/],
  ["an ELF file for arm64", elf((view) => view.setUint16(18, 183, true)), /instruction set/],
  ["a 32-bit ELF file", elf((view) => view.setUint8(4, 1)), /64-bit/],
  ["65,535 program headers", elf((view) => view.setUint16(56, 0xffff, true)), /no sense/],
  ["program headers past the end", elf((view) => view.setUint32(32, 0x1000, true)), /cut short/],
  ["program headers beyond 2^53", elf((view) => view.setUint32(36, 0xffff_ffff, true)), /cut short/],
  ["a segment past the end of the file", elf((view) => view.setUint32(64 + 32, 17, true)), /cut short/],
  ["a segment longer than its memory", elf((view) => view.setUint32(64 + 40, 15, true)), /longer/],
  [
    "a segment over the boot data",
    elf((view) => view.setUint32(64 + 24, 0x7000, true)),
    /outside the memory/,
  ],
  ["a segment past the memory", elf((view) => view.setUint32(64 + 24, 2 * MiB - 8, true)), /do not fit/],
  [
    "a segment at 2^64 - 1",
    elf((view) => view.setBigUint64(64 + 24, 2n ** 64n - 1n, true)),
    /outside the memory/,
  ],
  ["an entry point outside", elf((view) => view.setUint32(24, MiB + 32, true)), /entry point/],
  ["nothing to load", elf((view) => view.setUint32(64, 2, true)), /nothing/],
  ["a bzImage without 64-bit entry", bzImage((view) => view.setUint16(0x236, 0, true)), /64-bit entry/],
  ["a bzImage of an old protocol", bzImage((view) => view.setUint16(0x206, 0x0200, true)), /64-bit entry/],
  ["a bzImage of setup alone", bzImage((view) => view.setUint8(0x1f1, 3)), /cut short/],
  [
    "a bzImage that wants low memory",
    bzImage((view) => view.setUint32(0x258, 0, true)),
    /outside the memory/,
  ],
  [
    "a bzImage that needs 4 GiB",
    bzImage((view) => view.setUint32(0x260, 0xffff_ffff, true)),
    /outside the memory/,
  ],
];

for (const [name, bytes, pattern] of refusals)
  test(`loadKernel() refuses ${name}`, () => {
    assert.throws(
      () => loadKernel(memory(), file(bytes)),
      (error: unknown) => {
        assert.ok(error instanceof SupermachineError && error.code === "KERNEL_NOT_FOUND");
        assert.match(error.message, pattern);
        return true;
      },
    );
  });

test("loadKernel() answers any damaged file with an error of ours, and never reads outside it", () => {
  const damage = fc.array(fc.tuple(fc.nat(0x2ff), fc.nat(255)), { maxLength: 12 });
  fc.assert(
    fc.property(fc.constantFrom(elf(), bzImage()), damage, fc.nat(4096), (original, changes, length) => {
      const bytes = original.slice(0, Math.max(length, 1));
      for (const [offset, value] of changes) if (offset < bytes.length) bytes[offset] = value;
      try {
        loadKernel(memory(), file(bytes));
      } catch (error) {
        assert.ok(error instanceof SupermachineError, String(error));
      }
    }),
    { numRuns: 2000 },
  );
});
