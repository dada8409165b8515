import assert from "node:assert/strict";
import { test } from "node:test";
import { PmemDevice } from "../devices/pmem/device.ts";
import { deferred } from "../streams/deferred.ts";
import { deviceRig } from "./testing/device-rig.ts";
import { EchoDevice } from "./testing/echo-device.ts";

test("a held device takes nothing, and goes on with what has come together when it is released", async () => {
  const device = new EchoDevice();
  const it = deviceRig(device);
  it.driver.bringUp();
  await it.host.hold();
  it.driver.add(0, [{ read: Uint8Array.of(7) }, { write: 1 }]);
  it.driver.notify(0);
  // Something on the host's side has come up, such as bytes for a connection.
  device.onQueue(0);
  assert.deepEqual(it.host.position(0), { nextAvailable: 0, nextUsed: 0 });
  assert.deepEqual(it.driver.collect(0), []);
  it.host.release();
  await Promise.resolve();
  assert.deepEqual(it.driver.collect(0)[0]?.output, Uint8Array.of(7));
});

test("holding a device waits for the requests under way, which are in no saved state", async () => {
  const flushed = deferred<void>();
  const it = deviceRig(new PmemDevice({ start: 0x1000, length: 0x1000, flush: () => flushed.promise }));
  it.driver.bringUp();
  it.driver.add(0, [{ read: new Uint8Array(4) }, { write: 4 }]);
  it.driver.notify(0);
  const held = it.host.hold();
  assert.throws(() => it.host.save(), { code: "INTERNAL" });
  flushed.resolve();
  await held;
  assert.deepEqual(it.host.save().queues[0]?.nextUsed, 1);
  assert.deepEqual(it.driver.collect(0)[0]?.output, new Uint8Array(4));
});
