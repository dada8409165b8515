import assert from "node:assert/strict";
import { test } from "node:test";
import { gpa } from "../../src/memory/address.ts";
import { deviceAt, openGuest, skip, startVcpu } from "./guest.ts";

// biome-ignore format: one instruction per line
const code = [
  0x8a, 0x07, // again: mov al, [rdi]
  0x3c, 0x77, // cmp al, 0x77
  0x75, 0xfa, // jne again
  0xe6, 0x10, // out 0x10, al
  0x8a, 0x07, // still: mov al, [rdi]
  0x3c, 0x77, // cmp al, 0x77
  0x74, 0xfa, // je still
  0xf4,       // hlt
];

test("memory added while a vCPU runs appears to it, and memory removed vanishes", { skip }, async (t) => {
  const guest = openGuest(t, { code, mode: "long", registers: { rdi: BigInt(deviceAt) } });
  const thread = startVcpu(guest);
  await thread.next("mmio-read");
  const late = guest.allocate(0x1000);
  late.bytes()[0] = 0x77;
  const slot = guest.vm.addMemory(gpa(deviceAt), late);
  assert.equal((await thread.next("pio-out")).port, 0x10);
  assert.equal(guest.vm.memory.covers(gpa(deviceAt), 0x1000), true);
  slot[Symbol.dispose]();
  assert.equal((await thread.next("mmio-read")).address, deviceAt);
  await thread.next("halt");
  assert.equal(guest.vm.memory.covers(gpa(deviceAt), 1), false);
});
