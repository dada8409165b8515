import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { VIRTIO_MMIO_CONFIG_GENERATION, VIRTIO_MMIO_STATUS } from "../../virtio/constants.ts";
import { type DeviceRig, deviceRig } from "../../virtio/testing/device-rig.ts";
import { ConsoleDevice } from "./device.ts";

function rig(output: (bytes: Uint8Array) => Promise<void> | void = () => {}): DeviceRig & {
  readonly console: ConsoleDevice;
} {
  const device = new ConsoleDevice({ output, columns: 100, rows: 30 });
  const it = deviceRig(device);
  it.driver.bringUp();
  return { ...it, console: device };
}

test("5.3.6: what the guest prints is given on in order", () => {
  const printed: number[] = [];
  const it = rig((bytes) => void printed.push(...bytes));
  it.driver.add(1, [{ read: Uint8Array.of(1, 2) }, { read: Uint8Array.of(3) }]);
  it.driver.add(1, [{ read: Uint8Array.of(4) }]);
  it.driver.notify(1);
  assert.deepEqual(printed, [1, 2, 3, 4]);
  assert.equal(it.driver.collect(1).length, 2);
});

test("a slow output makes the guest wait, and large buffers come in pieces", async () => {
  const pieces: number[] = [];
  let finish = (): void => {};
  const it = rig((bytes) => {
    pieces.push(bytes.length);
    return new Promise<void>((resolve) => {
      finish = resolve;
    });
  });
  it.driver.add(1, [{ read: new Uint8Array(100_000) }]);
  it.driver.add(1, [{ read: new Uint8Array(7) }]);
  it.driver.notify(1);
  it.driver.notify(1);
  await turn();
  assert.deepEqual([pieces, it.driver.collect(1).length], [[65_536], 0]);
  finish();
  await turn();
  assert.deepEqual([pieces, it.driver.collect(1).length], [[65_536, 34_464], 1]);
  finish();
  await turn();
  assert.deepEqual([pieces, it.driver.collect(1).length], [[65_536, 34_464, 7], 1]);
});

test("an output that fails does not stop the console", async () => {
  let calls = 0;
  const it = rig(() => {
    calls++;
    return Promise.reject(new Error("gone"));
  });
  for (const byte of [1, 2]) it.driver.add(1, [{ read: Uint8Array.of(byte) }]);
  it.driver.notify(1);
  await turn();
  assert.equal(calls, 2);
});

test("5.3.6: input waits for the guest's buffers and fills them", async () => {
  const it = rig();
  let taken = false;
  const input = it.console.input(Uint8Array.of(1, 2, 3, 4, 5)).then(() => {
    taken = true;
  });
  it.driver.add(0, [{ write: 2 }]);
  it.driver.notify(0);
  await turn();
  assert.equal(taken, false);
  it.driver.add(0, [{ write: 16 }]);
  it.driver.notify(0);
  await input;
  assert.deepEqual(
    it.driver.collect(0).map(({ output, written }) => [...output.subarray(0, written)]),
    [
      [1, 2],
      [3, 4, 5],
    ],
  );
});

test("5.3.4: the terminal's size is in the configuration space, and a change is announced", () => {
  const it = rig();
  assert.deepEqual(it.driver.readConfig(0, 4), Uint8Array.of(100, 0, 30, 0));
  const generation = it.driver.readRegister(VIRTIO_MMIO_CONFIG_GENERATION);
  it.console.resize({ columns: 300, rows: 2 });
  assert.deepEqual(it.driver.readConfig(0, 4), Uint8Array.of(44, 1, 2, 0));
  assert.equal(it.driver.readRegister(VIRTIO_MMIO_CONFIG_GENERATION), generation + 1);
  assert.equal(it.driver.takeInterrupts() & 2, 2);
});

test("input under way fails when the driver goes away", async () => {
  const it = rig();
  const input = it.console.input(Uint8Array.of(1));
  it.driver.writeRegister(VIRTIO_MMIO_STATUS, 0);
  await assert.rejects(input, { code: "CONNECTION_LOST" });
});
