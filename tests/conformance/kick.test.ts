import assert from "node:assert/strict";
import { test } from "node:test";
import { openGuest, skip, startVcpu } from "./guest.ts";

test("kick() from another thread interrupts a guest that never exits", { skip }, async (t) => {
  const guest = openGuest(t, { code: [0xeb, 0xfe], mode: "long" }); // jmp to itself
  const thread = startVcpu(guest);
  await thread.next("started");
  for (let count = 0; count < 20; count += 1) {
    guest.vm.kick(0);
    await thread.next("interrupted");
  }
  await thread.stop();
});

test("kick() interrupts a guest that sleeps in the kernel's interrupt controller", { skip }, async (t) => {
  const guest = openGuest(t, { code: [0xf4], mode: "long", kernelIrqChip: true }); // hlt
  const thread = startVcpu(guest);
  await thread.next("started");
  await new Promise((resolve) => setTimeout(resolve, 20));
  guest.vm.kick(0);
  await thread.next("interrupted");
});

test("a kick for a vCPU that no thread runs yet interrupts its first run", { skip }, (t) => {
  const guest = openGuest(t, { code: [0xf4], mode: "long" });
  guest.vm.kick(0);
  const vcpu = guest.vcpu();
  assert.equal(vcpu.run().kind, "interrupted");
  assert.equal(vcpu.run().kind, "halt");
});

test("kicks that come before the run count as one", {
  skip,
}, (t) => {
  const guest = openGuest(t, { code: [0xf4], mode: "long" });
  const vcpu = guest.vcpu();
  guest.vm.kick(0);
  guest.vm.kick(0);
  assert.equal(vcpu.run().kind, "interrupted");
  assert.equal(vcpu.run().kind, "halt");
  assert.throws(() => guest.vm.kick(1), RangeError);
});
