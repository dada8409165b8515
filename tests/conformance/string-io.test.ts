import assert from "node:assert/strict";
import { test } from "node:test";
import { codeAt, dataAt, openGuest, skip } from "./guest.ts";

// biome-ignore format: one instruction per line
const code = [
  0xba, 0x10, 0x00, // mov dx, 0x10
  0xbe, 0x00, 0x60, // mov si, 0x6000
  0xb9, 0x05, 0x00, // mov cx, 5
  0xfc,             // cld
  0xf3, 0x6e,       // rep outsb
  0xbf, 0x00, 0x61, // mov di, 0x6100
  0xb9, 0x04, 0x00, // mov cx, 4
  0xf3, 0x6d,       // rep insw
  0xf4,             // hlt
];

test("string instructions move all their items through exits, however KVM groups them", { skip }, (t) => {
  const guest = openGuest(t, { code, mode: "real" });
  const vcpu = guest.vcpu();
  guest.bytes.set(new TextEncoder().encode("hello"), dataAt);
  const written: number[] = [];
  let next = 1;
  for (;;) {
    const exit = vcpu.run();
    if (exit.kind === "pio-out") written.push(...exit.data);
    else if (exit.kind === "pio-in") for (const index of exit.data.keys()) exit.data[index] = next++;
    else {
      assert.equal(exit.kind, "halt");
      break;
    }
    assert.equal(exit.data.length, exit.width * exit.count);
  }
  assert.equal(String.fromCharCode(...written), "hello");
  assert.deepEqual([...guest.bytes.subarray(dataAt + 0x100, dataAt + 0x108)], [1, 2, 3, 4, 5, 6, 7, 8]);
  assert.equal(guest.bytes[codeAt], 0xba);
});
