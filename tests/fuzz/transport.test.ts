import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import * as v from "../../src/virtio/constants.ts";
import { type DeviceRig, deviceRig } from "../../src/virtio/testing/device-rig.ts";
import { EchoDevice } from "../../src/virtio/testing/echo-device.ts";
import { DRIVER_FEATURES_LOW, REFUSED } from "../../src/virtio/transport-registers.ts";
import { fuzz } from "./fuzz.ts";

/** One access to the registers, or a step of a driver that does it right: chance alone hardly brings a device up. */
type Step =
  | { readonly kind: "read"; readonly offset: number; readonly width: number }
  | { readonly kind: "write"; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: "bring up"; readonly features: bigint }
  | { readonly kind: "request"; readonly queue: number };

const register = fc.constantFrom(
  ...Object.entries(v)
    .filter(([name]) => name.startsWith("VIRTIO_MMIO_"))
    .map(([, offset]) => Number(offset)),
);
const offset = fc.oneof({ weight: 4, arbitrary: register }, fc.nat(0x1ff), fc.nat(0x1000));
const value = fc.oneof(
  fc.constantFrom(0, 1, 2, 3, 4, 7, 8, 11, 15, 16, 64, 128, 0x1000, 0x2000, 0xffff_ffff),
  fc.nat(0xffff_ffff),
);
const wordBytes = value.map((word) => new Uint8Array(Uint32Array.of(word).buffer));
const anyBytes = fc
  .constantFrom(1, 2, 4, 8)
  .chain((width) => fc.uint8Array({ minLength: width, maxLength: width }));
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant("read" as const), offset, width: fc.constantFrom(1, 2, 4, 8) }),
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("write" as const),
      offset,
      bytes: fc.oneof({ weight: 5, arbitrary: wordBytes }, anyBytes),
    }),
  },
  fc.record({ kind: fc.constant("bring up" as const), features: fc.bigInt(0n, 2n ** 41n) }),
  fc.record({ kind: fc.constant("request" as const), queue: fc.nat(3) }),
);

function take(it: DeviceRig, next: Step): void {
  if (next.kind === "read") it.transport.read(next.offset, new Uint8Array(next.width));
  else if (next.kind === "write") it.transport.write(next.offset, next.bytes);
  else if (next.kind === "bring up") it.driver.bringUp({ features: next.features });
  else request(it, next.queue);
}

function request({ driver }: DeviceRig, queue: number): void {
  try {
    driver.add(queue, [{ read: Uint8Array.of(1, 2, 3) }, { write: 8 }]);
  } catch (error) {
    // Not set up, or the driver's share of the memory is used up.
    if (!(error instanceof Error)) throw error;
  }
  driver.notify(queue);
}

/** Sections 2.1 and 3.1.1: what a driver can see of the status in any state at all. */
function assertStatusIsLegal(status: number): void {
  const needs: readonly (readonly [number, number])[] = [
    [v.DRIVER, v.ACKNOWLEDGE],
    [v.FEATURES_OK, v.DRIVER],
    [v.DRIVER_OK, v.FEATURES_OK],
  ];
  for (const [bit, needed] of needs)
    assert.ok((status & bit) === 0 || (status & needed) === needed, `status ${status.toString(16)}`);
  assert.equal(status & 0x30, 0);
}

test("2.1, 4.2.2: no sequence of register accesses, of any width, breaks the transport", () => {
  fuzz(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const it = deviceRig(new EchoDevice());
      for (const next of steps) {
        take(it, next);
        assertStatusIsLegal(it.driver.status);
        assert.equal(it.host.isActive, (it.driver.status & v.DRIVER_OK) !== 0 && it.host.isActive);
      }
      it.driver.writeRegister(v.VIRTIO_MMIO_STATUS, 0);
      assert.deepEqual([it.driver.status, it.host.isActive], [0, false]);
      // Whatever went before, a proper driver can take over.
      it.driver.bringUp();
      assert.equal(it.driver.status, v.ACKNOWLEDGE | v.DRIVER | v.FEATURES_OK | v.DRIVER_OK);
    }),
    { share: 0.6 },
  );
});

/** Index among the words from the driver's features on: what follows is the device's, but for the count of refusals. */
const at = (word: number): number => word - DRIVER_FEATURES_LOW;

test("4.2.2.2: after activation nothing changes a live queue's size or place", () => {
  const queueRegister = fc.constantFrom(
    v.VIRTIO_MMIO_QUEUE_NUM,
    v.VIRTIO_MMIO_QUEUE_DESC_LOW,
    v.VIRTIO_MMIO_QUEUE_DESC_HIGH,
    v.VIRTIO_MMIO_QUEUE_DRIVER_LOW,
    v.VIRTIO_MMIO_QUEUE_DRIVER_HIGH,
    v.VIRTIO_MMIO_QUEUE_DEVICE_LOW,
    v.VIRTIO_MMIO_QUEUE_DEVICE_HIGH,
    v.VIRTIO_MMIO_QUEUE_SEL,
    v.VIRTIO_MMIO_DRIVER_FEATURES,
  );
  fuzz(
    fc.property(fc.array(fc.tuple(queueRegister, value), { maxLength: 20 }), (writes) => {
      const it = deviceRig(new EchoDevice());
      it.driver.bringUp({ features: 2n ** 41n - 1n });
      const words = (): Int32Array =>
        it.registers.words.slice(DRIVER_FEATURES_LOW).fill(0, at(REFUSED), at(REFUSED) + 1);
      const before = words();
      for (const [register, word] of writes) it.driver.writeRegister(register, word);
      assert.deepEqual(words(), before);
      it.driver.add(0, [{ read: Uint8Array.of(9) }, { write: 1 }]);
      it.driver.notify(0);
      assert.deepEqual(it.driver.collect(0)[0]?.output, Uint8Array.of(9));
    }),
    { share: 0.2 },
  );
});

test("2.7: a queue anywhere at all, also with its used ring outside the memory, is used or refused", () => {
  const address = fc.oneof(
    fc.nat(0x11_0000),
    fc.nat(0x11_0000).map((at) => at & ~15),
    fc.bigInt(0n, 2n ** 64n - 1n),
    fc.constantFrom(0xf_ffe0, 0xf_fff0, 0x10_0000, 2 ** 52, 2 ** 52 - 16, 2 ** 53),
  );
  const place = fc.record({ size: fc.nat(20), descriptors: address, driver: address, device: address });
  fuzz(
    fc.property(place, fc.array(fc.nat(0xffff), { maxLength: 8 }), ({ size, ...addresses }, indices) => {
      const it = deviceRig(new EchoDevice());
      it.driver.negotiate();
      it.driver.writeRegister(v.VIRTIO_MMIO_QUEUE_SEL, 0);
      it.driver.writeRegister(v.VIRTIO_MMIO_QUEUE_NUM, size);
      for (const [register, at] of [
        [v.VIRTIO_MMIO_QUEUE_DESC_LOW, addresses.descriptors],
        [v.VIRTIO_MMIO_QUEUE_DRIVER_LOW, addresses.driver],
        [v.VIRTIO_MMIO_QUEUE_DEVICE_LOW, addresses.device],
      ] as const) {
        it.driver.writeRegister(register, Number(BigInt(at) & 0xffff_ffffn));
        it.driver.writeRegister(register + 4, Number(BigInt(at) >> 32n));
      }
      it.driver.writeRegister(v.VIRTIO_MMIO_QUEUE_READY, 1);
      it.driver.setStatus(v.DRIVER_OK);
      for (const index of indices) {
        const driverIndex = Number(BigInt(addresses.driver) & 0xf_ffffn) + 2;
        if (it.memory.covers(driverIndex as never, 2)) it.memory.setU16(driverIndex as never, index);
        it.driver.notify(0);
      }
      if (size > 0 && !it.memory.covers(Number(addresses.device) as never, 6 + 8 * size))
        assert.equal(it.driver.readRegister(v.VIRTIO_MMIO_QUEUE_READY) !== 0 && it.host.isActive, false);
    }),
    { share: 0.2 },
  );
});
