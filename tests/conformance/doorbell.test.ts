import assert from "node:assert/strict";
import { test } from "node:test";
import { gpa } from "../../src/memory/address.ts";
import { deviceAt, openGuest, skip } from "./guest.ts";

// biome-ignore format: one instruction per line
const code = [
  0xb8, 0x07, 0x00, 0x00, 0x00, // mov eax, 7
  0x89, 0x47, 0x50,             // mov [rdi + 0x50], eax
  0xff, 0xc0,                   // inc eax
  0x89, 0x47, 0x50,             // mov [rdi + 0x50], eax
  0xf4,                         // hlt
];

test("a doorbell rings without an exit", { skip }, (t) => {
  const guest = openGuest(t, { code, mode: "long", registers: { rdi: BigInt(deviceAt) } });
  using bell = guest.vm.doorbell(gpa(deviceAt + 0x50), { width: 4 });
  assert.equal(bell.take(), false);
  assert.equal(guest.vcpu().run().kind, "halt");
  assert.equal(bell.take(), true);
  assert.equal(bell.take(), false);
});

test("a doorbell for one value rings for that value; another one exits", { skip }, (t) => {
  const guest = openGuest(t, { code, mode: "long", registers: { rdi: BigInt(deviceAt) } });
  using bell = guest.vm.doorbell(gpa(deviceAt + 0x50), { width: 4, value: 7 });
  const exit = guest.vcpu().run();
  assert.equal(bell.take(), true);
  assert.deepEqual(exit.kind === "mmio-write" && [exit.address - deviceAt, ...exit.data], [0x50, 8, 0, 0, 0]);
});

test("a doorbell that is gone exits again", { skip }, (t) => {
  const guest = openGuest(t, { code, mode: "long", registers: { rdi: BigInt(deviceAt) } });
  guest.vm.doorbell(gpa(deviceAt + 0x50), { width: 4 })[Symbol.dispose]();
  assert.equal(guest.vcpu().run().kind, "mmio-write");
});
