import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { DirtyLog } from "../../src/hypervisor/vm.ts";
import { gpa } from "../../src/memory/address.ts";
import { openResources } from "../../src/sys/open-resources.ts";
import { dataAt, openGuest, skip, startVcpu } from "./guest.ts";

// biome-ignore format: one instruction per line
const code = [
  0x88, 0x06,                         // mov [rsi], al
  0x88, 0x86, 0x00, 0x20, 0x00, 0x00, // mov [rsi + 0x2000], al
  0x8a, 0x86, 0x00, 0x40, 0x00, 0x00, // mov al, [rsi + 0x4000]
  0xe6, 0x10,                         // out 0x10, al
  0xeb, 0xee,                         // jmp to the start
];
const registers = { rsi: BigInt(dataAt) };

test("the dirty log names the pages that the guest wrote since it was last taken", { skip }, (t) => {
  const guest = openGuest(t, { code, mode: "long", registers });
  const vcpu = guest.vcpu();
  using log = guest.slot.logDirty();
  assert.deepEqual(taken(log), [0, 0]);
  assert.equal(vcpu.run().kind, "pio-out");
  // The first time around, KVM also counts what it merely made writable: here the code, page 4.
  const [low = 0, high = 0] = taken(log);
  assert.deepEqual([low & 0x40, high & 0x01], [0x40, 0x01]);
  assert.deepEqual(taken(log), [0, 0]);
  // From then on exactly pages 6 and 8, which are written, and not page 10, which is read.
  assert.equal(vcpu.run().kind, "pio-out");
  assert.deepEqual(taken(log), [0x40, 0x01]);
});

test("a log that begins in a running VM names what is written from then on, and ends; any number of times", {
  skip,
}, (t) => {
  const guest = openGuest(t, { code, mode: "long", registers });
  const vcpu = guest.vcpu();
  assert.equal(vcpu.run().kind, "pio-out");
  const before = openResources();
  for (let round = 0; round < 3; round++) {
    const log = guest.slot.logDirty();
    assert.deepEqual(taken(log), [0, 0], "written before");
    assert.throws(() => guest.slot.logDirty(), TypeError);
    assert.equal(vcpu.run().kind, "pio-out");
    assert.deepEqual(taken(log), [0x40, 0x01], "written meanwhile");
    log[Symbol.dispose]();
    log[Symbol.dispose]();
    assert.throws(() => log.take(), TypeError);
    assert.equal(vcpu.run().kind, "pio-out");
  }
  assert.deepEqual(openResources(), before);
});

test("the dirty log names what this thread writes, and what it says has changed", { skip }, (t) => {
  const guest = openGuest(t, { code, mode: "long", registers });
  const { memory } = guest.vm;
  memory.setU32(gpa(0x8000), 1);
  const log = guest.slot.logDirty();
  memory.setU32(gpa(0x9000), 1);
  memory.write(gpa(0xafff), Uint8Array.of(1, 2));
  memory.changed(gpa(0xd000), 0x1000);
  memory.u32(gpa(0xe000));
  assert.deepEqual(taken(log), [0, 0x2e]);
  log[Symbol.dispose]();
  memory.setU32(gpa(0x9000), 2);
  using next = guest.slot.logDirty();
  assert.deepEqual(taken(next), [0, 0]);
});

// biome-ignore format: one instruction per line
const writer = [
  0xb9, 0x00, 0x80, 0x00, 0x00,       // start: mov ecx, 0x8000
  0xfe, 0x04, 0x0e,                   // next: inc byte [rsi + rcx]
  0xba, 0x00, 0x10, 0x00, 0x00,       // mov edx, 0x1000
  0xff, 0xca,                         // wait: dec edx
  0x75, 0xfc,                         // jnz wait
  0x81, 0xe9, 0x00, 0x10, 0x00, 0x00, // sub ecx, 0x1000
  0x75, 0xec,                         // jnz next
  0xeb, 0xe5,                         // jmp start
];

test("what is copied after each look at the log is the memory, once the guest stands still", {
  skip,
}, async (t) => {
  const guest = openGuest(t, { code: writer, mode: "long", registers });
  const thread = startVcpu(guest);
  while (guest.bytes[0x7000] === 0) await delay(10);
  using log = guest.slot.logDirty();
  const copy = Uint8Array.from(guest.bytes);
  const copyDirty = (): void => {
    const dirty = log.take();
    for (let page = 0; page < 16; page++)
      if (((dirty[page >>> 3] ?? 0) >>> (page & 7)) & 1)
        copy.set(guest.bytes.subarray(page * 0x1000, (page + 1) * 0x1000), page * 0x1000);
  };
  for (let round = 0; round < 500; round++) copyDirty();
  await thread.stop();
  copyDirty();
  assert.equal(Buffer.compare(copy, guest.bytes), 0);
});

/** Without pages 1 to 3: the page tables, which a processor may write at any walk. */
function taken(log: DirtyLog): number[] {
  const [low = 0, high = 0] = log.take();
  return [low & 0xf0, high];
}
