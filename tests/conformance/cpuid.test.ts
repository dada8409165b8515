import assert from "node:assert/strict";
import { test } from "node:test";
import { gpa } from "../../src/memory/address.ts";
import { dataAt, openGuest, skip, startVcpu } from "./guest.ts";

// biome-ignore format: one instruction per line
const code = [
  0xb8, 0x01, 0x00, 0x00, 0x00, // mov eax, 1
  0x0f, 0xa2,                   // cpuid
  0x89, 0x1e,                   // mov [rsi], ebx
  0x89, 0x4e, 0x04,             // mov [rsi + 4], ecx
  0xb8, 0x0b, 0x00, 0x00, 0x00, // mov eax, 0xb
  0xb9, 0x01, 0x00, 0x00, 0x00, // mov ecx, 1
  0x0f, 0xa2,                   // cpuid
  0x89, 0x5e, 0x08,             // mov [rsi + 8], ebx
  0x89, 0x56, 0x0c,             // mov [rsi + 12], edx
  0xb8, 0x01, 0x00, 0x00, 0x80, // mov eax, 0x80000001
  0x0f, 0xa2,                   // cpuid
  0x89, 0x4e, 0x10,             // mov [rsi + 16], ecx
  0xf4,                         // hlt
];

test("each vCPU sees its own APIC id, the topology, a hypervisor, and no nested virtualisation", {
  skip,
}, async (t) => {
  const guest = openGuest(t, { code, mode: "long", registers: { rsi: BigInt(dataAt) }, vcpus: 3 });
  await startVcpu(guest, { index: 2 }).next("halt");
  const word = (index: number): number => guest.vm.memory.u32(gpa(dataAt + index * 4));
  assert.equal(word(0) >>> 24, 2, "initial APIC id");
  assert.equal((word(0) >>> 16) & 0xff, 3, "logical processors");
  assert.equal((word(1) >>> 31) & 1, 1, "hypervisor");
  assert.equal((word(1) >>> 5) & 1, 0, "VMX");
  assert.equal(word(2), 3, "cores");
  assert.equal(word(3), 2, "x2APIC id");
  assert.equal((word(4) >>> 2) & 1, 0, "SVM");
});
