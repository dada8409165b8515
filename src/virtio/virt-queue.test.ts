import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { gpa } from "../memory/address.ts";
import * as v from "./constants.ts";
import { type DeviceRig, deviceRig } from "./testing/device-rig.ts";
import type { RawDescriptor } from "./testing/driver-double.ts";
import { EchoDevice } from "./testing/echo-device.ts";

const { VIRTQ_DESC_F_INDIRECT: INDIRECT, VIRTQ_DESC_F_NEXT: NEXT, VIRTQ_DESC_F_WRITE: WRITE } = v;

function rig(features?: bigint): DeviceRig {
  const it = deviceRig(new EchoDevice());
  it.driver.bringUp(features === undefined ? {} : { features });
  return it;
}

const needsReset = ({ driver }: DeviceRig): boolean => (driver.status & v.DEVICE_NEEDS_RESET) !== 0;

test("2.7.13: requests come back in order with their bytes, direct and indirect, around the ring many times", () => {
  const it = rig();
  for (let round = 0; round < 100; round++) {
    const bytes = Uint8Array.of(round, round + 1, round + 2);
    const head = it.driver.add(0, [{ read: bytes }, { write: 2 }, { write: 4 }], {
      indirect: round % 2 === 1,
    });
    it.driver.notify(0);
    const [used] = it.driver.collect(0);
    assert.equal(used?.head, head);
    assert.equal(used?.written, 3);
    assert.deepEqual(used?.output.slice(0, 3), bytes);
  }
  assert.equal(needsReset(it), false);
});

test("2.7.7: no interrupt where the driver suppresses it by flag", () => {
  const it = rig(0n);
  const before = it.interrupts();
  it.memory.setU16(it.driver.queue(0).driver, v.VIRTQ_AVAIL_F_NO_INTERRUPT);
  it.driver.add(0, [{ read: Uint8Array.of(1) }, { write: 1 }]);
  it.driver.notify(0);
  assert.equal(it.driver.collect(0).length, 1);
  assert.equal(it.interrupts(), before);
});

test("2.7.10: with event indices, an interrupt comes exactly when the driver's index is passed", () => {
  const it = rig();
  const send = (): number => {
    const before = it.interrupts();
    it.driver.add(0, [{ read: Uint8Array.of(1) }, { write: 1 }]);
    it.driver.notify(0);
    return it.interrupts() - before;
  };
  it.driver.setUsedEvent(0, 2);
  assert.deepEqual([send(), send(), send(), send()], [0, 0, 1, 0]);
  // And the device asks to be notified of the very next request.
  const queue = it.driver.queue(0);
  assert.equal(it.memory.u16(gpa(queue.device + 4 + 8 * queue.size)), 4);
});

test("2.7.4.2: a readable descriptor after a writable one is a fault", () => {
  const it = rig();
  it.driver.addRaw(0, [
    { address: 0x8000, length: 4, flags: WRITE | NEXT, next: 1 },
    { address: 0x9000, length: 4, flags: 0, next: 0 },
  ]);
  it.driver.notify(0);
  assert.equal(needsReset(it), true);
  assert.deepEqual(it.driver.collect(0), []);
});

const faults: [string, RawDescriptor[]][] = [
  ["a buffer outside the memory", [{ address: 0x10_0000, length: 1, flags: 0, next: 0 }]],
  ["a buffer that ends outside the memory", [{ address: 0xf_ffff, length: 2, flags: 0, next: 0 }]],
  ["a length that overflows", [{ address: 0x1000, length: 0xffff_ffff, flags: 0, next: 0 }]],
  ["an address that overflows", [{ address: 0xffff_ffff_ffff_fff0n, length: 0x20, flags: 0, next: 0 }]],
  ["a chain that is its own successor", [{ address: 0x1000, length: 1, flags: NEXT, next: 0 }]],
  ["a successor outside the table", [{ address: 0x1000, length: 1, flags: NEXT, next: 16 }]],
  ["an empty indirect table", [{ address: 0x8000, length: 0, flags: INDIRECT, next: 0 }]],
  ["an indirect table of odd length", [{ address: 0x8000, length: 24, flags: INDIRECT, next: 0 }]],
  ["an indirect table outside the memory", [{ address: 0xf_fff8, length: 16, flags: INDIRECT, next: 0 }]],
  [
    "an indirect descriptor with a successor",
    [{ address: 0x8000, length: 16, flags: INDIRECT | NEXT, next: 1 }],
  ],
];
for (const [name, descriptors] of faults)
  test(`2.7.5: ${name} stops the device, which asks for a reset`, () => {
    const it = rig();
    it.driver.addRaw(0, descriptors);
    it.driver.notify(0);
    assert.equal(needsReset(it), true);
    assert.equal(
      it.driver.takeInterrupts() & v.INTERRUPT_CONFIGURATION_CHANGE,
      v.INTERRUPT_CONFIGURATION_CHANGE,
    );
    assert.deepEqual(it.driver.collect(0), []);
  });

const tables: [string, RawDescriptor[]][] = [
  ["that loops", [{ address: 0x1000, length: 1, flags: NEXT, next: 0 }]],
  ["inside another", [{ address: 0x8000, length: 16, flags: INDIRECT, next: 0 }]],
  ["whose successor lies outside it", [{ address: 0x1000, length: 1, flags: NEXT, next: 1 }]],
  [
    "of more descriptors than the queue has",
    Array.from({ length: 17 }, (_, index) => ({
      address: 0x1000,
      length: 1,
      flags: index < 16 ? NEXT : 0,
      next: index + 1,
    })),
  ],
];
for (const [name, entries] of tables)
  test(`2.7.5.3: an indirect table ${name} stops the device`, () => {
    const it = rig();
    for (const [index, entry] of entries.entries()) it.driver.writeDescriptor(gpa(0x8000), index, entry);
    it.driver.addRaw(0, [{ address: 0x8000, length: entries.length * 16, flags: INDIRECT, next: 0 }]);
    it.driver.notify(0);
    assert.equal(needsReset(it), true);
  });

test("2.7.5.3: an indirect descriptor that was not negotiated stops the device", () => {
  const it = rig(0n);
  it.driver.add(0, [{ read: Uint8Array.of(1) }], { indirect: true });
  it.driver.notify(0);
  assert.equal(needsReset(it), true);
});

test("2.7.6: a driver index too far ahead, or a head outside the table, stops the device", () => {
  const ahead = rig();
  ahead.driver.setAvailableIndex(0, 17);
  ahead.driver.notify(0);
  assert.equal(needsReset(ahead), true);
  const outside = rig();
  outside.driver.offer(0, 16);
  outside.driver.notify(0);
  assert.equal(needsReset(outside), true);
});

test("2.7.13: a driver that reuses entries which the device still has is stopped", () => {
  const it = rig();
  const queue = it.host.device instanceof EchoDevice ? it.host.device.session?.queue(1) : undefined;
  for (let round = 0; round < 5; round++) {
    it.driver.addRaw(1, [{ address: 0x1000, length: 1, flags: 0, next: 0 }]);
    queue?.pop();
  }
  assert.equal(queue?.outstanding, 4);
  assert.equal(needsReset(it), true);
});

test("a whole ring of requests comes back after one notification", () => {
  const it = rig();
  for (let request = 0; request < 8; request++)
    it.driver.add(0, [{ read: Uint8Array.of(request) }, { write: 1 }]);
  it.driver.notify(0);
  assert.deepEqual(
    it.driver.collect(0).map(({ output }) => output[0]),
    [0, 1, 2, 3, 4, 5, 6, 7],
  );
});

test("any descriptors at all: the device returns them or asks for a reset, within bounds", () => {
  const descriptor = fc.record({
    address: fc.oneof(fc.nat(0x11_0000), fc.bigInt(0n, 2n ** 64n - 1n)),
    length: fc.oneof(fc.nat(64), fc.nat(0xffff_ffff)),
    flags: fc.nat(7),
    next: fc.nat(20),
  });
  fc.assert(
    fc.property(
      fc.array(descriptor, { minLength: 16, maxLength: 16 }),
      fc.array(fc.nat(20), { maxLength: 16 }),
      (table, heads) => {
        const it = rig();
        const queue = it.driver.queue(0);
        for (const [index, entry] of table.entries())
          it.driver.writeDescriptor(queue.descriptors, index, entry);
        for (const head of heads) it.driver.offer(0, head);
        it.driver.notify(0);
        const returned = it.memory.u16(gpa(queue.device + 2));
        assert.ok(needsReset(it) || returned === heads.length);
      },
    ),
    { numRuns: 500 },
  );
});
