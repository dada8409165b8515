import assert from "node:assert/strict";
import { test } from "node:test";
import { gsi } from "../../src/hypervisor/irq-line.ts";
import { openGuest, type RunningVcpu, skip, startVcpu } from "./guest.ts";

/** Real mode: sets up the first interrupt controller with vectors from 0x20, then sleeps between interrupts. */
// biome-ignore format: one instruction per line
const setUp = (mask: number) => [
  0xb0, 0x11, 0xe6, 0x20, // mov al, 0x11; out 0x20, al   ICW1: edge, cascade, ICW4 follows
  0xb0, 0x20, 0xe6, 0x21, // mov al, 0x20; out 0x21, al   ICW2: vectors from 0x20
  0xb0, 0x04, 0xe6, 0x21, // mov al, 0x04; out 0x21, al   ICW3: second controller on input 2
  0xb0, 0x01, 0xe6, 0x21, // mov al, 0x01; out 0x21, al   ICW4: 8086 mode
  0xb0, mask, 0xe6, 0x21, // mov al, mask; out 0x21, al
];
// biome-ignore format: one instruction per line
const sleep = [
  0xe6, 0x80, // out 0x80, al   ready
  0xfb,       // again: sti     takes effect after the next instruction, so that an interrupt finds it halted
  0xf4,       // hlt
  0xfa,       // cli
  0xe6, 0x81, // out 0x81, al   awake
  0xeb, 0xf9, // jmp again
];
// biome-ignore format: one instruction per line
const handler = [
  0xe6, 0x82,             // out 0x82, al   in the handler
  0xb0, 0x20, 0xe6, 0x20, // mov al, 0x20; out 0x20, al   end of interrupt
  0xcf,                   // iret
];
const handlerAt = 0x5000;

function installHandler(bytes: Uint8Array, vector: number): void {
  bytes.set(handler, handlerAt);
  new DataView(bytes.buffer).setUint32(vector * 4, handlerAt, true);
}

test("a pulse through the irqfd wakes a halted guest, which runs its handler once", { skip }, async (t) => {
  const code = [...setUp(0xdf), ...sleep];
  const guest = openGuest(t, { code, mode: "real", kernelIrqChip: true });
  installHandler(guest.bytes, 0x25);
  using line = guest.vm.irqLine(gsi(5));
  const thread = startVcpu(guest);
  assert.equal((await thread.next("pio-out")).port, 0x80);
  for (let count = 0; count < 3; count += 1) {
    line.pulse();
    assert.equal((await thread.next("pio-out")).port, 0x82);
    assert.equal((await thread.next("pio-out")).port, 0x81);
  }
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.deepEqual(thread.exits, []);
});

test("a line set high and low reaches the guest as an interrupt too", { skip }, async (t) => {
  const code = [...setUp(0xdf), ...sleep];
  const guest = openGuest(t, { code, mode: "real", kernelIrqChip: true });
  installHandler(guest.bytes, 0x25);
  using line = guest.vm.irqLine(gsi(5));
  const thread = startVcpu(guest);
  assert.equal((await thread.next("pio-out")).port, 0x80);
  line.set(true);
  assert.equal((await thread.next("pio-out")).port, 0x82);
  line.set(false);
  assert.equal((await thread.next("pio-out")).port, 0x81);
});

test("the timer ticks without an exit of its own", { skip }, async (t) => {
  // biome-ignore format: one instruction per line
  const startTimer = [
    0xb0, 0x34, 0xe6, 0x43, // mov al, 0x34; out 0x43, al   channel 0, both bytes, rate generator
    0xb0, 0x00, 0xe6, 0x40, // mov al, 0; out 0x40, al
    0xb0, 0x10, 0xe6, 0x40, // mov al, 0x10; out 0x40, al   4096 / 1193182 Hz = 3.4 ms
  ];
  const code = [...setUp(0xfe), ...startTimer, ...sleep];
  const guest = openGuest(t, { code, mode: "real", kernelIrqChip: true });
  installHandler(guest.bytes, 0x20);
  const thread = startVcpu(guest);
  assert.equal((await thread.next("pio-out")).port, 0x80);
  for (let tick = 0; tick < 3; tick += 1) await untilPort(thread, 0x82);
});

/** Where exits are slow, one tick can follow another before the guest is back from its handler: order is no matter. */
async function untilPort(thread: RunningVcpu, port: number): Promise<void> {
  while ((await thread.next("pio-out")).port !== port);
}

test("an interrupt line needs the interrupt controller in the kernel", { skip }, (t) => {
  const guest = openGuest(t, { code: [0xf4], mode: "long" });
  assert.throws(() => guest.vm.irqLine(gsi(5)), TypeError);
});
