import assert from "node:assert/strict";
import { test } from "node:test";
import { deviceRig } from "../../virtio/testing/device-rig.ts";
import { RngDevice } from "./device.ts";

function rig(): ReturnType<typeof deviceRig> {
  const it = deviceRig(new RngDevice({ fill: (bytes) => bytes.fill(0x5a) }));
  it.driver.bringUp();
  return it;
}

test("5.4.6: each request is filled with random bytes, over all of its buffers", () => {
  const it = rig();
  it.driver.add(0, [{ write: 3 }, { write: 5 }]);
  it.driver.add(0, [{ write: 1 }]);
  it.driver.notify(0);
  const used = it.driver.collect(0);
  assert.deepEqual(
    used.map(({ written }) => written),
    [8, 1],
  );
  assert.deepEqual(used[0]?.output, new Uint8Array(8).fill(0x5a));
});

test("a request gets 64 KiB at most", () => {
  const it = rig();
  it.driver.add(0, [{ write: 100_000 }]);
  it.driver.notify(0);
  const [used] = it.driver.collect(0);
  assert.equal(used?.written, 65_536);
  assert.equal(used?.output[65_536], 0);
});

test("5.4.6.1: a request with nothing to write into is returned empty", () => {
  const it = rig();
  it.driver.add(0, [{ read: new Uint8Array(4) }]);
  it.driver.notify(0);
  assert.equal(it.driver.collect(0)[0]?.written, 0);
});
