import assert from "node:assert/strict";
import { test } from "node:test";
import { Bus } from "./bus.ts";

function recorder(name: string, log: string[]) {
  return {
    name,
    read: (offset: number, into: Uint8Array) => {
      log.push(`${name} read ${offset}+${into.length}`);
      into.fill(0xaa);
    },
    write: (offset: number, data: Uint8Array) => {
      log.push(`${name} write ${offset}: ${data.join()}`);
    },
  };
}

test("Bus routes by range, tells offsets, and answers zeros where nothing is", () => {
  const log: string[] = [];
  const bus = new Bus();
  bus.attach(0x2000, 0x100, recorder("b", log));
  bus.attach(0x1000, 0x1000, recorder("a", log));
  const into = Uint8Array.of(1, 2, 3, 4);
  assert.equal(bus.read(0x20fc, into), true);
  assert.deepEqual(into, new Uint8Array(4).fill(0xaa));
  assert.equal(bus.write(0x1fff, Uint8Array.of(5)), true);
  assert.deepEqual(log, ["b read 252+4", "a write 4095: 5"]);
  for (const at of [0, 0xfff, 0x1ffe, 0x20fd, 0x2100, 2 ** 52]) {
    assert.equal(bus.read(at, into), false, `0x${at.toString(16)}`);
    assert.deepEqual(into, new Uint8Array(4));
  }
});

test("Bus refuses ranges that overlap, are empty or are no addresses", () => {
  const bus = new Bus();
  bus.attach(0x1000, 0x1000, recorder("a", []));
  for (const [start, length] of [
    [0x1fff, 1],
    [0x0, 0x1001],
    [0x3000, 0],
    [-1, 2],
    [0.5, 1],
  ] as const)
    assert.throws(() => bus.attach(start, length, recorder("x", [])), RangeError);
});
