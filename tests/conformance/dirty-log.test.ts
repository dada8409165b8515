import assert from "node:assert/strict";
import { test } from "node:test";
import { dataAt, openGuest, skip } from "./guest.ts";

// biome-ignore format: one instruction per line
const code = [
  0x88, 0x06,                         // mov [rsi], al
  0x88, 0x86, 0x00, 0x20, 0x00, 0x00, // mov [rsi + 0x2000], al
  0x8a, 0x86, 0x00, 0x40, 0x00, 0x00, // mov al, [rsi + 0x4000]
  0xe6, 0x10,                         // out 0x10, al
  0xeb, 0xee,                         // jmp to the start
];

test("the dirty log names the pages that the guest wrote since it was last taken", { skip }, (t) => {
  const guest = openGuest(t, { code, mode: "long", registers: { rsi: BigInt(dataAt) }, logDirty: true });
  const vcpu = guest.vcpu();
  guest.slot.takeDirty();
  assert.equal(vcpu.run().kind, "pio-out");
  // Pages 1 to 3 are the page tables, which a processor may write at any walk.
  const takeDirty = (): number[] => {
    const [low = 0, high = 0] = guest.slot.takeDirty();
    return [low & 0xf0, high];
  };
  // The first time around, KVM also counts what it merely made writable: here the code, page 4.
  const [low = 0, high = 0] = takeDirty();
  assert.deepEqual([low & 0x40, high & 0x01], [0x40, 0x01]);
  assert.deepEqual(takeDirty(), [0, 0]);
  // From then on exactly pages 6 and 8, which are written, and not page 10, which is read.
  assert.equal(vcpu.run().kind, "pio-out");
  assert.deepEqual(takeDirty(), [0x40, 0x01]);
});
