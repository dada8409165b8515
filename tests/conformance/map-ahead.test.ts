import assert from "node:assert/strict";
import { test } from "node:test";
import { gpa } from "../../src/memory/address.ts";
import { dataAt, openGuest, skip } from "./guest.ts";

// biome-ignore format: one instruction per line
const code = [
  0x8a, 0x06, // mov al, [rsi]
  0xe6, 0x10, // out 0x10, al
  0xf4,       // hlt
];

test("memory that was mapped ahead is what it was, and a host that cannot says so", { skip }, (t) => {
  const guest = openGuest(t, { code, mode: "long", registers: { rsi: BigInt(dataAt) } });
  const vcpu = guest.vcpu();
  guest.bytes[dataAt] = 0x5a;
  assert.equal(typeof guest.vm.mapAhead(gpa(0), 0x1_0000), "boolean");
  // Written afterwards: the guest has the page itself, not a copy.
  guest.bytes[dataAt] = 0x5b;
  const exit = vcpu.run();
  assert.deepEqual(exit.kind === "pio-out" && [...exit.data], [0x5b]);
});

test("no memory can be mapped ahead where there is none", { skip }, (t) => {
  const guest = openGuest(t, { code, mode: "long" });
  guest.vcpu();
  assert.equal(guest.vm.mapAhead(gpa(0x10_0000), 0x1000), false);
});
