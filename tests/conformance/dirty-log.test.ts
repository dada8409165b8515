import assert from "node:assert/strict";
import { test } from "node:test";
import { dataAt, openGuest, skip } from "./guest.ts";

// prettier-ignore
const code = [
  0x88,
  0x06, //                         mov [rsi], al
  0x88,
  0x86,
  0x00,
  0x20,
  0x00,
  0x00, // mov [rsi + 0x2000], al
  0x8a,
  0x86,
  0x00,
  0x40,
  0x00,
  0x00, // mov al, [rsi + 0x4000]
  0xe6,
  0x10, //                         out 0x10, al
  0xeb,
  0xee, //                         jmp to the start
];

test("the dirty log names the pages that the guest wrote since it was last taken", { skip }, (t) => {
  const guest = openGuest(t, { code, mode: "long", registers: { rsi: BigInt(dataAt) }, logDirty: true });
  const vcpu = guest.vcpu();
  guest.slot.takeDirty();
  assert.equal(vcpu.run().kind, "pio-out");
  const written = (dataPages: number): number[] => [dataPages & 0xff, dataPages >> 8];
  // Pages 6 and 8, not page 10, which was read. The processor marks page tables (1 to 3) as accessed by writing.
  const first = guest.slot.takeDirty();
  assert.deepEqual([first[0]! & 0xf0, first[1]], written((1 << 6) | (1 << 8)));
  assert.deepEqual([...guest.slot.takeDirty()], [0, 0]);
  assert.equal(vcpu.run().kind, "pio-out");
  assert.deepEqual([...guest.slot.takeDirty()], written((1 << 6) | (1 << 8)));
});
