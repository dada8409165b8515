import assert from "node:assert/strict";
import { test } from "node:test";
import { extractVmlinux, kernelRelease } from "./kernel-image.ts";

/** A bzImage of boot protocol 2.15 with one setup sector and this payload (after it, its uncompressed length). */
function bzImage(payload: readonly number[], length: number): Uint8Array {
  const image = new Uint8Array(1024 + 16 + payload.length + 4);
  const view = new DataView(image.buffer);
  image[0x1f1] = 1;
  view.setUint32(0x202, 0x53726448, true);
  view.setUint16(0x206, 0x20f, true);
  view.setUint16(0x20e, 0x100, true);
  image.set(new TextEncoder().encode("6.1.0-56-cloud-amd64 (builder@host) #1 SMP\0"), 0x300);
  view.setUint32(0x248, 16, true);
  view.setUint32(0x24c, payload.length + 4, true);
  image.set(payload, 1024 + 16);
  view.setUint32(1024 + 16 + payload.length, length, true);
  return image;
}
const elf = [0x7f, 0x45, 0x4c, 0x46];
const lz4 = [0x02, 0x21, 0x4c, 0x18, 5, 0, 0, 0, 0x40, ...elf];

test("kernelRelease() reads the header of a bzImage, and the banner of anything else", () => {
  assert.equal(kernelRelease(bzImage(lz4, 4)), "6.1.0-56-cloud-amd64");
  const banner = new TextEncoder().encode("\0LLinux version 6.12.9+rpt-arm64 (gcc)\0");
  assert.equal(kernelRelease(banner), "6.12.9+rpt-arm64");
  assert.equal(kernelRelease(new TextEncoder().encode("no kernel, Linux ver")), undefined);
  assert.equal(kernelRelease(new TextEncoder().encode("Linux version ../../etc (x)")), undefined);
});

test("extractVmlinux() gives the ELF file inside an LZ4-compressed bzImage", () => {
  assert.deepEqual([...(extractVmlinux(bzImage(lz4, 4)) ?? [])], elf);
});

test("extractVmlinux() leaves alone what it cannot read", () => {
  assert.equal(extractVmlinux(bzImage([0x1f, 0x8b, 8, 0], 4)), undefined);
  assert.equal(extractVmlinux(new Uint8Array(elf)), undefined);
  assert.equal(extractVmlinux(bzImage([...lz4.slice(0, -4), 1, 2, 3, 4], 4)), undefined);
});

test("extractVmlinux() refuses a damaged payload", () => {
  assert.throws(() => extractVmlinux(bzImage(lz4, 0x7fff_ffff)), RangeError);
  assert.throws(() => extractVmlinux(bzImage(lz4, 5)), RangeError);
  const outside = bzImage(lz4, 4);
  new DataView(outside.buffer).setUint32(0x248, 0xffff_fff0, true);
  assert.equal(extractVmlinux(outside), undefined);
});
