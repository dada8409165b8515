import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { VIRTIO_MMIO_STATUS } from "../../virtio/constants.ts";
import { type DeviceRig, deviceRig } from "../../virtio/testing/device-rig.ts";
import { PmemDevice } from "./device.ts";

function rig(flush?: () => Promise<void> | void): DeviceRig {
  const it = deviceRig(
    new PmemDevice({ start: 0x1_2000_0000, length: 0x20_0000, ...(flush === undefined ? {} : { flush }) }),
  );
  it.driver.bringUp();
  return it;
}

const ask = (it: DeviceRig, type: number): void => {
  it.driver.add(0, [{ read: Uint8Array.of(type, 0, 0, 0) }, { write: 4 }]);
  it.driver.notify(0);
};

test("5.19.4: the configuration space is the region's start and size", () => {
  assert.deepEqual(
    rig().driver.readConfig(0, 16),
    Uint8Array.of(0, 0, 0, 0x20, 1, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0),
  );
  for (const length of [0, -1, 1.5, 2 ** 53])
    assert.throws(() => new PmemDevice({ start: 0x1000, length }), RangeError);
});

test("5.19.7: a flush is answered with 0 once the backend has flushed, one flush for all that wait", async () => {
  let flushes = 0;
  let finish = (): void => {};
  const it = rig(
    () =>
      new Promise<void>((resolve) => {
        flushes++;
        finish = resolve;
      }),
  );
  it.driver.add(0, [{ read: new Uint8Array(4) }, { write: 4 }]);
  ask(it, 0);
  await turn();
  assert.deepEqual([it.driver.collect(0), flushes], [[], 1]);
  finish();
  await turn();
  assert.deepEqual(
    it.driver.collect(0).map(({ output, written }) => [[...output], written]),
    [
      [[0, 0, 0, 0], 4],
      [[0, 0, 0, 0], 4],
    ],
  );
});

test("5.19.7: a flush without a backend is answered with 0", async () => {
  const it = rig();
  ask(it, 0);
  await turn();
  assert.deepEqual(it.driver.collect(0)[0]?.output, new Uint8Array(4));
});

test("5.19.7: a flush that fails, or a request that does not exist, is answered with -1", async () => {
  const it = rig(() => Promise.reject(new Error("disk full")));
  ask(it, 0);
  ask(it, 1);
  it.driver.add(0, [{ read: new Uint8Array(3) }, { write: 4 }]);
  it.driver.notify(0);
  await turn();
  const minusOne = Uint8Array.of(255, 255, 255, 255);
  assert.deepEqual(
    it.driver.collect(0).map(({ output }) => output),
    [minusOne, minusOne, minusOne],
  );
});

test("2.4.1: after a reset a flush under way is answered to nobody", async () => {
  let finish = (): void => {};
  const device = new PmemDevice({
    start: 0x1000,
    length: 0x1000,
    flush: () =>
      new Promise<void>((resolve) => {
        finish = resolve;
      }),
  });
  const it = deviceRig(device);
  it.driver.bringUp();
  ask(it, 0);
  const interrupts = it.interrupts();
  it.driver.writeRegister(VIRTIO_MMIO_STATUS, 0);
  finish();
  await device.settled();
  assert.deepEqual([it.driver.collect(0), it.interrupts()], [[], interrupts]);
});
