import assert from "node:assert/strict";
import { test } from "node:test";
import { PROT_NONE } from "../../src/abi/linux.x64.generated.ts";
import { gpa } from "../../src/memory/address.ts";
import { deviceAt, openGuest, skip } from "./guest.ts";

const code = [0x8a, 0x07]; // mov al, [rdi]

test("memory that the host cannot provide is an exit, not an exception and not a crash", { skip }, (t) => {
  const guest = openGuest(t, { code, mode: "long", registers: { rdi: BigInt(deviceAt) } });
  const memory = guest.allocate(0x1000);
  memory.protect(PROT_NONE);
  guest.vm.addMemory(gpa(deviceAt), memory);
  // A KVM that emulates the access reports it as one to no memory.
  assert.match(guest.vcpu().run().kind, /^(failed|mmio-read)$/);
});
