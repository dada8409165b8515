import assert from "node:assert/strict";
import { test } from "node:test";
import * as v from "./constants.ts";
import type { VirtioDevice } from "./device.ts";
import { DeviceHost } from "./device-host.ts";
import { MmioTransport } from "./mmio-transport.ts";
import { type DeviceRig, deviceRig } from "./testing/device-rig.ts";
import { DriverDouble } from "./testing/driver-double.ts";
import { EchoDevice } from "./testing/echo-device.ts";
import { transportRegisters, transportRegistersLength } from "./transport-registers.ts";
import { type TransportState, transportStateCodec } from "./transport-state.ts";

/** Another machine's slot over the same memory, as after a restore. */
function successor(it: DeviceRig, device: VirtioDevice = new EchoDevice()): DeviceRig {
  const registers = transportRegisters(new ArrayBuffer(transportRegistersLength));
  let pulses = 0;
  const interrupt = {
    pulse: () => {
      pulses++;
    },
  };
  const host = new DeviceHost(device, { memory: it.memory, registers, interrupt });
  const transport = new MmioTransport("echo", registers, host);
  const driver = new DriverDouble(it.memory, transport);
  return { memory: it.memory, host, registers, transport, driver, interrupts: () => pulses };
}

function used(): DeviceRig {
  const it = deviceRig(new EchoDevice());
  it.driver.bringUp();
  for (let round = 0; round < 3; round++) it.driver.add(0, [{ read: Uint8Array.of(round) }, { write: 1 }]);
  it.driver.notify(0);
  it.driver.collect(0);
  return it;
}

const saved = (it: DeviceRig): TransportState =>
  transportStateCodec.parse(transportStateCodec.encode(it.host.save()));
const damaged = (change: object): Uint8Array =>
  new TextEncoder().encode(JSON.stringify({ ...used().host.save(), ...change }));

test("a restored device goes on in the middle of its rings", async () => {
  const it = used();
  it.driver.takeInterrupts();
  const restored = successor(it);
  restored.host.restore(saved(it));
  assert.deepEqual(restored.host.position(0), { nextAvailable: 3, nextUsed: 3 });
  assert.equal(restored.interrupts(), 0);
  it.driver.add(0, [{ read: Uint8Array.of(42) }, { write: 1 }]);
  restored.driver.notify(0);
  assert.deepEqual(it.driver.collect(0)[0]?.output, Uint8Array.of(42));
});

test("what the driver put in before the save, and nobody looked at, is answered after the restore", async () => {
  const it = used();
  it.driver.add(0, [{ read: Uint8Array.of(7) }, { write: 1 }]);
  successor(it).host.restore(saved(it));
  await Promise.resolve();
  assert.deepEqual(it.driver.collect(0)[0]?.output, Uint8Array.of(7));
});

test("an interrupt that was not acknowledged is saved with its cause, and raised again", () => {
  const it = used();
  const restored = successor(it);
  restored.host.restore(saved(it));
  assert.equal(restored.interrupts(), 1);
  assert.equal(restored.driver.takeInterrupts(), v.INTERRUPT_USED_BUFFER);
});

test("registers of a driver that is not done come back as they were", () => {
  const it = deviceRig(new EchoDevice());
  it.driver.negotiate();
  it.driver.setUpQueue(1);
  it.driver.writeRegister(v.VIRTIO_MMIO_QUEUE_SEL, 0);
  it.driver.writeRegister(v.VIRTIO_MMIO_QUEUE_DESC_HIGH, 0xffff_fff0);
  const restored = successor(it);
  restored.host.restore(saved(it));
  assert.equal(restored.host.isActive, false);
  // But for the configuration's generation, which makes the driver read it again.
  const state = saved(it);
  assert.deepEqual(saved(restored), { ...state, configGeneration: state.configGeneration + 1 });
  assert.deepEqual(state.queues[0]?.descriptors, [0, 0xffff_fff0]);
});

test("live queues win over what the registers say", () => {
  const it = used();
  const { size } = it.driver.queue(0);
  // Words of the first queue, as a racing processor might leave them.
  for (let word = 24; word < 34; word++) it.registers.words[word] = -1;
  assert.equal(saved(it).queues[0]?.size, size);
});

test("a device with requests under way is not saved", () => {
  const it = used();
  const device = it.host.device;
  it.driver.add(0, [{ read: Uint8Array.of(1) }]);
  if (device instanceof EchoDevice) device.session?.queue(0)?.pop();
  assert.throws(() => it.host.save(), { code: "INTERNAL" });
});

test("a saved device with more queues than the device is refused, and any other that is not this one", () => {
  const it = used();
  const state = saved(it);
  const [queue] = state.queues;
  assert.ok(queue !== undefined);
  const others: TransportState[] = [
    { ...state, queues: [...state.queues, queue] },
    { ...state, deviceType: 2 },
    { ...state, driverFeatures: [1 << 5, 1] },
    { ...state, queues: [{ ...queue, size: 32 }] },
  ];
  for (const other of others)
    assert.throws(() => successor(it).host.restore(other), { code: "SNAPSHOT_MISMATCH" });
});

test("a saved device whose queues lie outside the memory is refused", () => {
  const it = used();
  const state = saved(it);
  const queues = state.queues.map((queue) => ({ ...queue, device: [0x1000_0000, 0] as const }));
  assert.throws(() => successor(it).host.restore({ ...state, queues }), { code: "SNAPSHOT_INVALID" });
});

test("a device that waited for its reset still does", () => {
  const it = used();
  it.driver.offer(0, 99);
  it.driver.notify(0);
  const restored = successor(it);
  restored.host.restore(saved(it));
  assert.equal(restored.driver.status & v.DEVICE_NEEDS_RESET, v.DEVICE_NEEDS_RESET);
  restored.driver.bringUp();
  assert.equal(restored.host.isActive, true);
});

const impossible: [string, object][] = [
  ["a status of more than eight bits", { status: 256 }],
  ["an interrupt cause that does not exist", { interruptStatus: 4 }],
  ["a queue index of more than 16 bits", { queues: [{ ...used().host.save().queues[0], nextUsed: 65_536 }] }],
  ["a request under way", { queues: [{ ...used().host.save().queues[0], nextUsed: 2 }] }],
  ["progress without a driver", { status: 3 }],
  ["a field that does not exist", { extra: 1 }],
  ["no queues", { queues: undefined }],
  ["a device without a type", { deviceType: 0 }],
];
for (const [name, change] of impossible)
  test(`a state with ${name} is none`, () => {
    assert.throws(() => transportStateCodec.parse(damaged(change)), { code: "SNAPSHOT_INVALID" });
  });

test("bytes that are no JSON are no state", () => {
  for (const bytes of [new Uint8Array(0), Uint8Array.of(0xff), new Uint8Array(2 ** 20 + 1)])
    assert.throws(() => transportStateCodec.parse(bytes), { code: "SNAPSHOT_INVALID" });
});
