import assert from "node:assert/strict";
import { test } from "node:test";
import { gpa } from "../../src/memory/address.ts";
import { deviceAt, openGuest, skip } from "./guest.ts";

// biome-ignore format: one instruction per line
const code = [
  0x8a, 0x07,       // mov al, [rdi]
  0xe6, 0x10,       // out 0x10, al
  0xc6, 0x07, 0x55, // mov byte [rdi], 0x55
  0x8a, 0x07,       // mov al, [rdi]
  0xe6, 0x10,       // out 0x10, al
];

test("read-only memory is read without an exit; a write exits and changes nothing", { skip }, (t) => {
  const guest = openGuest(t, { code, mode: "long", registers: { rdi: BigInt(deviceAt) } });
  const image = guest.allocate(0x1000);
  image.bytes()[0] = 0x77;
  guest.vm.addMemory(gpa(deviceAt), image, { readOnly: true });
  const vcpu = guest.vcpu();
  const seen: unknown[] = [];
  for (let count = 0; count < 3; count += 1) {
    const exit = vcpu.run();
    seen.push("data" in exit ? [exit.kind, ...exit.data] : exit);
  }
  assert.deepEqual(seen, [
    ["pio-out", 0x77],
    ["mmio-write", 0x55],
    ["pio-out", 0x77],
  ]);
  assert.throws(() => guest.vm.memory.setU32(gpa(deviceAt), 1), /read-only/);
});
