import assert from "node:assert/strict";
import { test } from "node:test";
import { gpa } from "../../src/memory/address.ts";
import { dataAt, highPageAt, openGuest, skip } from "./guest.ts";

// biome-ignore format: one instruction per line
const code = [
  0x48, 0xb8, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, // mov rax, 0x1122334455667788
  0x48, 0x89, 0x06,                                           // mov [rsi], rax
  0xf4,                                                       // hlt
];

test("a vCPU starts in 64-bit mode where its entry state says", { skip }, (t) => {
  const guest = openGuest(t, { code, mode: "long", registers: { rsi: BigInt(dataAt) } });
  assert.equal(guest.vcpu().run().kind, "halt");
  assert.deepEqual(
    [guest.vm.memory.u32(gpa(dataAt)), guest.vm.memory.u32(gpa(dataAt + 4))],
    [0x55667788, 0x11223344],
  );
});

test("memory above 4 GiB is the guest's and ours", { skip }, (t) => {
  const highAt = 0x1_4000_0000;
  const registers = { rsi: BigInt(highPageAt) };
  const guest = openGuest(t, { code, mode: "long", registers, highPage: highAt });
  guest.vm.addMemory(gpa(highAt), guest.allocate(0x20_0000));
  assert.equal(guest.vcpu().run().kind, "halt");
  assert.equal(guest.vm.memory.u32(gpa(highAt + 4)), 0x11223344);
  assert.deepEqual(
    guest.vm.memory.regions.map(({ start }) => start),
    [0, highAt],
  );
});
