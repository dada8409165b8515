import assert from "node:assert/strict";
import { test } from "node:test";
import { openGuest, skip } from "./guest.ts";

// biome-ignore format: one instruction per line
const code = [
  0xe4, 0x10, // in al, 0x10
  0xe6, 0x11, // out 0x11, al
  0xf4,       // hlt
];

test("requestExit() interrupts before the guest executes, once", { skip }, (t) => {
  const vcpu = openGuest(t, { code, mode: "long" }).vcpu();
  vcpu.requestExit();
  assert.equal(vcpu.run().kind, "interrupted");
  assert.equal(vcpu.run().kind, "pio-in");
});

test("an interruption completes the access that the last exit left open", { skip }, (t) => {
  const vcpu = openGuest(t, { code, mode: "long" }).vcpu();
  const read = vcpu.run();
  assert.equal(read.kind, "pio-in");
  assert.throws(() => vcpu.save(), /inside an access/);
  if (read.kind === "pio-in") read.data[0] = 0x42;
  vcpu.requestExit();
  assert.equal(vcpu.run().kind, "interrupted");
  vcpu.save();
  const write = vcpu.run();
  assert.deepEqual(write.kind === "pio-out" && [...write.data], [0x42]);
});
