import assert from "node:assert/strict";
import { test } from "node:test";
import { gpa } from "../../src/memory/address.ts";
import { dataAt, highPageAt, openGuest, skip, startVcpu } from "./guest.ts";

// biome-ignore format: one instruction per line
const starter = [
  0xc7, 0x87, 0xf0, 0x00, 0x00, 0x00, 0xff, 0x01, 0x00, 0x00, // mov dword [rdi + 0xf0], 0x1ff      enable
  0xc7, 0x87, 0x10, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, // mov dword [rdi + 0x310], 1 << 24   ICR high: APIC 1
  0xc7, 0x87, 0x00, 0x03, 0x00, 0x00, 0x00, 0x45, 0x00, 0x00, // mov dword [rdi + 0x300], 0x4500    INIT
  0xc7, 0x87, 0x00, 0x03, 0x00, 0x00, 0x08, 0x46, 0x00, 0x00, // mov dword [rdi + 0x300], 0x4608    start at 0x8000
  0x80, 0x3e, 0x01,                                           // wait: cmp byte [rsi], 1
  0x75, 0xfb,                                                 // jne wait
  0xe6, 0x10,                                                 // out 0x10, al
  0xf4,                                                       // hlt
];
// biome-ignore format: one instruction per line
const started = [
  0xc6, 0x06, 0x00, 0x60, 0x01, // mov byte [0x6000], 1
  0xe6, 0x11,                   // out 0x11, al
  0xf4,                         // hlt
];

test("one vCPU starts another through the local APIC, each on a thread of its own", {
  skip,
}, async (t) => {
  const registers = { rsi: BigInt(dataAt), rdi: BigInt(highPageAt) };
  const options = {
    code: starter,
    mode: "long",
    kernelIrqChip: true,
    vcpus: 2,
    highPage: 0xfee0_0000,
  } as const;
  const guest = openGuest(t, { ...options, registers });
  guest.bytes.set(started, 0x8000);
  const second = startVcpu(guest, { index: 1, waitsForSipi: true });
  await second.next("started");
  const first = startVcpu(guest);
  assert.equal((await second.next("pio-out")).port, 0x11);
  assert.equal((await first.next("pio-out")).port, 0x10);
});

// biome-ignore format: one instruction per line
const adder = [
  0xb9, 0xe8, 0x03, 0x00, 0x00, // mov ecx, 1000
  0xf0, 0xff, 0x06,             // again: lock inc dword [rsi]
  0xff, 0xc9,                   // dec ecx
  0x75, 0xf9,                   // jnz again
  0xf4,                         // hlt
];

test("vCPUs on their own threads share memory atomically", { skip }, async (t) => {
  const guest = openGuest(t, { code: adder, mode: "long", registers: { rsi: BigInt(dataAt) }, vcpus: 4 });
  const threads = guest.tickets.map((_, index) => startVcpu(guest, { index }));
  for (const thread of threads) await thread.next("halt");
  assert.equal(guest.vm.memory.u32(gpa(dataAt)), 4000);
});
