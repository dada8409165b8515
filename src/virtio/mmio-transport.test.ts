import assert from "node:assert/strict";
import { test } from "node:test";
import * as v from "./constants.ts";
import { MmioTransport } from "./mmio-transport.ts";
import { type DeviceRig, deviceRig } from "./testing/device-rig.ts";
import { EchoDevice } from "./testing/echo-device.ts";
import { REFUSED, transportRegisters, transportRegistersLength } from "./transport-registers.ts";

function rig(): DeviceRig & { device: EchoDevice } {
  const device = new EchoDevice();
  return { ...deviceRig(device), device };
}

const refused = ({ registers }: DeviceRig): number => Atomics.load(registers.words, REFUSED);

/** Expects that the access is refused and changes no register that can be read back. */
function assertRefused(it: DeviceRig, offset: number, value: number): void {
  const before = refused(it);
  it.driver.writeRegister(offset, value);
  assert.equal(refused(it), before + 1, `0x${offset.toString(16)} <- ${value} was not refused`);
}

test("4.2.2: identification registers", () => {
  const { driver } = rig();
  assert.equal(driver.readRegister(v.VIRTIO_MMIO_MAGIC_VALUE), 0x7472_6976);
  assert.equal(driver.readRegister(v.VIRTIO_MMIO_VERSION), 2);
  assert.equal(driver.readRegister(v.VIRTIO_MMIO_DEVICE_ID), 42);
  assert.equal(driver.readRegister(v.VIRTIO_MMIO_QUEUE_NUM_MAX), 16);
});

test("4.2.2: a slot without a device has id 0, answers nothing else and takes nothing", () => {
  const registers = transportRegisters(new ArrayBuffer(transportRegistersLength));
  const fail = (): never => assert.fail("the hook of an empty slot was called");
  const hooks = {
    reset: fail,
    activate: fail,
    stopQueue: fail,
    startQueue: fail,
    notify: fail,
    writeConfig: fail,
  };
  const transport = new MmioTransport("empty", registers, hooks);
  const value = new Uint8Array(4);
  transport.read(v.VIRTIO_MMIO_DEVICE_ID, value);
  assert.deepEqual(value, new Uint8Array(4));
  transport.write(v.VIRTIO_MMIO_STATUS, Uint8Array.of(0, 0, 0, 0));
  transport.write(v.VIRTIO_MMIO_STATUS, Uint8Array.of(1, 0, 0, 0));
  transport.read(v.VIRTIO_MMIO_STATUS, value);
  assert.deepEqual(value, new Uint8Array(4));
});

test("3.1.1: the whole way up, one request, and down by a reset", () => {
  const it = rig();
  it.driver.bringUp();
  assert.equal(it.driver.status, v.ACKNOWLEDGE | v.DRIVER | v.FEATURES_OK | v.DRIVER_OK);
  it.driver.add(0, [{ read: Uint8Array.of(7, 8, 9) }, { write: 10 }]);
  it.driver.notify(0);
  const [used] = it.driver.collect(0);
  assert.equal(used?.written, 3);
  assert.deepEqual(used?.output.slice(0, 3), Uint8Array.of(7, 8, 9));
  assert.equal(it.driver.takeInterrupts(), v.INTERRUPT_USED_BUFFER);
  assert.equal(it.driver.readRegister(v.VIRTIO_MMIO_INTERRUPT_STATUS), 0);
  it.driver.writeRegister(v.VIRTIO_MMIO_STATUS, 0);
  assert.equal(it.driver.status, 0);
  assert.equal(it.device.deactivations, 1);
  assert.equal(it.driver.readRegister(v.VIRTIO_MMIO_QUEUE_READY), 0);
  it.driver.bringUp();
  assert.ok(it.device.session);
});

test("2.1.1: status bits are never cleared but by a reset, and come in order", () => {
  const it = rig();
  assertRefused(it, v.VIRTIO_MMIO_STATUS, v.DRIVER);
  assertRefused(it, v.VIRTIO_MMIO_STATUS, v.DRIVER_OK);
  it.driver.setStatus(v.ACKNOWLEDGE);
  assertRefused(it, v.VIRTIO_MMIO_STATUS, v.ACKNOWLEDGE | v.FEATURES_OK);
  it.driver.setStatus(v.DRIVER);
  assertRefused(it, v.VIRTIO_MMIO_STATUS, v.DRIVER);
  assertRefused(it, v.VIRTIO_MMIO_STATUS, v.ACKNOWLEDGE | v.DRIVER | v.DRIVER_OK);
  assertRefused(it, v.VIRTIO_MMIO_STATUS, v.ACKNOWLEDGE | v.DRIVER | v.DEVICE_NEEDS_RESET);
  assertRefused(it, v.VIRTIO_MMIO_STATUS, 0x100 | v.ACKNOWLEDGE | v.DRIVER);
  assert.equal(it.driver.status, v.ACKNOWLEDGE | v.DRIVER);
  assert.equal(it.device.session, undefined);
  it.driver.setStatus(v.FAILED);
  assertRefused(it, v.VIRTIO_MMIO_STATUS, it.driver.status | v.FEATURES_OK);
});

test("2.2.2 and 6.2: FEATURES_OK is refused for a feature that was not offered, and without VERSION_1", () => {
  for (const features of [1n << 5n, 0n]) {
    const it = rig();
    it.driver.setStatus(v.ACKNOWLEDGE);
    it.driver.setStatus(v.DRIVER);
    const wanted = features === 0n ? 0n : features | v.VIRTIO_F_VERSION_1;
    for (const select of [0, 1]) {
      it.driver.writeRegister(v.VIRTIO_MMIO_DRIVER_FEATURES_SEL, select);
      it.driver.writeRegister(
        v.VIRTIO_MMIO_DRIVER_FEATURES,
        Number((wanted >> BigInt(32 * select)) & 0xffff_ffffn),
      );
    }
    it.driver.setStatus(v.FEATURES_OK);
    assert.equal(it.driver.status, v.ACKNOWLEDGE | v.DRIVER);
  }
});

test("3.1.1: features are written after DRIVER and before FEATURES_OK only", () => {
  const it = rig();
  assertRefused(it, v.VIRTIO_MMIO_DRIVER_FEATURES, 1);
  assert.equal(it.driver.negotiate(), true);
  assertRefused(it, v.VIRTIO_MMIO_DRIVER_FEATURES, 0);
});

test("4.2.2: feature words beyond the second read zero", () => {
  const { driver } = rig();
  assert.equal(driver.offeredFeatures() & v.VIRTIO_F_VERSION_1, v.VIRTIO_F_VERSION_1);
  driver.writeRegister(v.VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
  assert.equal(driver.readRegister(v.VIRTIO_MMIO_DEVICE_FEATURES), 0);
  driver.writeRegister(v.VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0xffff_ffff);
  assert.equal(driver.readRegister(v.VIRTIO_MMIO_DEVICE_FEATURES), 0);
});

test("4.2.2.2: a queue's size and addresses cannot change once it is ready, nor after activation", () => {
  const it = rig();
  it.driver.negotiate();
  it.driver.setUpQueue(0);
  it.driver.writeRegister(v.VIRTIO_MMIO_QUEUE_SEL, 0);
  const locked = [v.VIRTIO_MMIO_QUEUE_NUM, v.VIRTIO_MMIO_QUEUE_DESC_LOW, v.VIRTIO_MMIO_QUEUE_DEVICE_HIGH];
  for (const register of locked) assertRefused(it, register, 8);
  it.driver.setStatus(v.DRIVER_OK);
  for (const register of locked) assertRefused(it, register, 8);
  it.driver.writeRegister(v.VIRTIO_MMIO_QUEUE_SEL, 1);
  for (const register of locked) assertRefused(it, register, 4);
  assert.equal(it.device.session?.queue(0)?.size, 16);
});

test("2.7: a queue's size must be a power of two up to the maximum", () => {
  const it = rig();
  it.driver.negotiate();
  for (const size of [0, 3, 17, 32, 0x8000_0010, 0x1_0000]) assertRefused(it, v.VIRTIO_MMIO_QUEUE_NUM, size);
  it.driver.writeRegister(v.VIRTIO_MMIO_QUEUE_NUM, 8);
  assert.equal(it.driver.readRegister(v.VIRTIO_MMIO_QUEUE_NUM), 8);
});

test("4.2.2: a queue that does not exist has maximum 0 and takes nothing", () => {
  const it = rig();
  it.driver.negotiate();
  for (const queue of [2, 8, 0xffff_ffff]) {
    it.driver.writeRegister(v.VIRTIO_MMIO_QUEUE_SEL, queue);
    assert.equal(it.driver.readRegister(v.VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
    for (const register of [v.VIRTIO_MMIO_QUEUE_NUM, v.VIRTIO_MMIO_QUEUE_DESC_LOW, v.VIRTIO_MMIO_QUEUE_READY])
      assertRefused(it, register, 1);
  }
});

const badQueues: [string, { desc?: number; driver?: number; device?: number; high?: number }][] = [
  ["a descriptor table that is not aligned", { desc: 0x1008 }],
  ["a driver area that is not aligned", { driver: 0x2001 }],
  ["a device area that is not aligned", { device: 0x3002 }],
  ["a descriptor table outside the memory", { desc: 0xf_fff0 }],
  ["a used ring outside the memory", { device: 0x10_0000 }],
  ["an address of 64 bits", { high: 0xffff_ffff }],
];
for (const [name, { desc = 0x1000, driver = 0x2000, device = 0x3000, high = 0 }] of badQueues)
  test(`2.7: ${name} makes the device ask for a reset, and is never used`, () => {
    const it = rig();
    it.driver.negotiate();
    it.driver.writeRegister(v.VIRTIO_MMIO_QUEUE_NUM, 16);
    it.driver.writeRegister(v.VIRTIO_MMIO_QUEUE_DESC_LOW, desc);
    it.driver.writeRegister(v.VIRTIO_MMIO_QUEUE_DRIVER_LOW, driver);
    it.driver.writeRegister(v.VIRTIO_MMIO_QUEUE_DEVICE_LOW, device);
    it.driver.writeRegister(v.VIRTIO_MMIO_QUEUE_DEVICE_HIGH, high);
    it.driver.writeRegister(v.VIRTIO_MMIO_QUEUE_READY, 1);
    it.driver.setStatus(v.DRIVER_OK);
    assert.equal(it.driver.status & v.DEVICE_NEEDS_RESET, v.DEVICE_NEEDS_RESET);
    assert.equal(it.device.session, undefined);
    assertRefused(it, v.VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    it.driver.bringUp();
    assert.equal(it.driver.status & v.DEVICE_NEEDS_RESET, 0);
  });

test("2.6.1: a queue can be reset and set up again while the device is live", () => {
  const it = rig();
  it.driver.bringUp({ features: v.VIRTIO_F_RING_RESET });
  it.driver.writeRegister(v.VIRTIO_MMIO_QUEUE_SEL, 0);
  it.driver.writeRegister(v.VIRTIO_MMIO_QUEUE_RESET, 1);
  assert.equal(it.driver.readRegister(v.VIRTIO_MMIO_QUEUE_RESET), 0);
  assert.equal(it.driver.readRegister(v.VIRTIO_MMIO_QUEUE_READY), 0);
  assertRefused(it, v.VIRTIO_MMIO_QUEUE_NOTIFY, 0);
  it.driver.setUpQueue(0, 8);
  it.driver.add(0, [{ read: Uint8Array.of(1) }, { write: 1 }]);
  it.driver.notify(0);
  assert.equal(it.driver.collect(0).length, 1);
});

test("2.6.1: a queue cannot be reset when that was not negotiated", () => {
  const it = rig();
  it.driver.bringUp({ features: 0n });
  assertRefused(it, v.VIRTIO_MMIO_QUEUE_RESET, 1);
});

test("4.2.2.2: notifications are refused before DRIVER_OK and for queues that are not ready", () => {
  const it = rig();
  it.driver.negotiate();
  it.driver.setUpQueue(0);
  assertRefused(it, v.VIRTIO_MMIO_QUEUE_NOTIFY, 0);
  it.driver.setStatus(v.DRIVER_OK);
  assertRefused(it, v.VIRTIO_MMIO_QUEUE_NOTIFY, 1);
  assertRefused(it, v.VIRTIO_MMIO_QUEUE_NOTIFY, 0xffff_ffff);
});

test("4.2.2.2: registers take aligned accesses of 32 bits only", () => {
  const it = rig();
  const before = refused(it);
  for (const [offset, length] of [
    [0, 1],
    [2, 2],
    [1, 4],
    [0, 8],
  ] as const) {
    const into = new Uint8Array(length);
    it.transport.read(offset, into);
    assert.deepEqual(into, new Uint8Array(length));
    it.transport.write(v.VIRTIO_MMIO_STATUS + offset, new Uint8Array(length).fill(1));
  }
  assert.equal(refused(it), before + 8);
});

test("4.2.2: the configuration space is read in pieces, ends where it ends, and has a generation", () => {
  const it = rig();
  assert.deepEqual(it.driver.readConfig(0, 8), Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
  const past = Uint8Array.of(9, 9, 9, 9).fill(0);
  it.transport.read(v.VIRTIO_MMIO_CONFIG + 6, past);
  assert.deepEqual(past, new Uint8Array(4));
  it.driver.bringUp();
  const generation = it.driver.readRegister(v.VIRTIO_MMIO_CONFIG_GENERATION);
  it.device.config[0] = 99;
  it.device.session?.configChanged();
  assert.notEqual(it.driver.readRegister(v.VIRTIO_MMIO_CONFIG_GENERATION), generation);
  assert.equal(it.driver.readConfig(0, 1)[0], 99);
  assert.equal(
    it.driver.takeInterrupts() & v.INTERRUPT_CONFIGURATION_CHANGE,
    v.INTERRUPT_CONFIGURATION_CHANGE,
  );
  it.transport.write(v.VIRTIO_MMIO_CONFIG + 4, Uint8Array.of(77));
  assert.equal(it.device.config[4], 77);
  assertRefused(it, v.VIRTIO_MMIO_CONFIG + 8, 1);
});

test("2.10: shared memory regions have 64-bit length and base; one that does not exist is all ones", () => {
  const { driver } = rig();
  const region = (select: number): number[] => {
    driver.writeRegister(v.VIRTIO_MMIO_SHM_SEL, select);
    return [0xb0, 0xb4, 0xb8, 0xbc].map((offset) => driver.readRegister(offset));
  };
  assert.deepEqual(region(0), [0x1000, 2, 0x2345_0000, 1]);
  for (const select of [1, 2, 99, 0xffff_ffff]) assert.deepEqual(region(select), Array(4).fill(0xffff_ffff));
});
