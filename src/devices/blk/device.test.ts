import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { VIRTIO_MMIO_STATUS } from "../../virtio/constants.ts";
import { type DeviceRig, deviceRig } from "../../virtio/testing/device-rig.ts";
import type { BlkBackend } from "./backend.ts";
import * as c from "./config.ts";
import { BlkDevice } from "./device.ts";
import * as r from "./request.ts";

const { VIRTIO_BLK_S_OK: OK, VIRTIO_BLK_S_IOERR: IOERR, VIRTIO_BLK_S_UNSUPP: UNSUPP } = r;

/** A disk in memory that remembers what was asked of it. */
class HeapBackend implements BlkBackend {
  readonly bytes: Uint8Array;
  readonly readOnly: boolean;
  readonly id = "disk-0";
  readonly calls: string[] = [];
  /** Makes the methods answer later. */
  delay: Promise<void> | undefined;

  constructor(length = 16 * r.SECTOR, readOnly = false) {
    this.bytes = new Uint8Array(length);
    this.readOnly = readOnly;
  }

  get length(): number {
    return this.bytes.length;
  }

  read(position: number, slices: readonly Uint8Array[]): Promise<void> | void {
    this.calls.push(`read ${position}`);
    let at = position;
    for (const slice of slices) {
      slice.set(this.bytes.subarray(at, at + slice.length));
      at += slice.length;
    }
    return this.delay;
  }

  write(position: number, slices: readonly Uint8Array[]): Promise<void> | void {
    this.calls.push(`write ${position}`);
    let at = position;
    for (const slice of slices) {
      this.bytes.set(slice, at);
      at += slice.length;
    }
    return this.delay;
  }

  flush(): Promise<void> | void {
    this.calls.push("flush");
    return this.delay;
  }

  discard(position: number, length: number): void {
    this.calls.push(`discard ${position} ${length}`);
  }

  writeZeroes(position: number, length: number, { unmap }: { unmap: boolean }): void {
    this.calls.push(`zero ${position} ${length} ${unmap}`);
    this.bytes.fill(0, position, position + length);
  }
}

interface BlkRig extends DeviceRig {
  readonly device: BlkDevice;
}

const allFeatures: bigint = (1n << 30n) - 1n;

function rig(backend: BlkBackend = new HeapBackend(), features: bigint = allFeatures): BlkRig {
  const device = new BlkDevice({ backend });
  const it = deviceRig(device);
  it.driver.bringUp({ features, queueSize: 128 });
  return { ...it, device };
}

function header(type: number, sector: number | bigint = 0): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setBigUint64(8, BigInt(sector), true);
  return bytes;
}

function range(sector: number | bigint, sectors: number, flags = 0): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(sector), true);
  view.setUint32(8, sectors, true);
  view.setUint32(12, flags, true);
  return bytes;
}

/** Asks, and returns the status byte and what else was written. */
function ask(
  it: DeviceRig,
  read: readonly Uint8Array[],
  write: readonly number[] = [],
): [number, Uint8Array, number] {
  it.driver.add(0, [
    ...read.map((bytes) => ({ read: bytes })),
    ...write.map((length) => ({ write: length })),
    { write: 1 },
  ]);
  it.driver.notify(0);
  const [used] = it.driver.collect(0);
  assert.ok(used !== undefined, "the request was answered");
  return [used.output.at(-1) ?? -1, used.output.slice(0, -1), used.written];
}

test("5.2.4: capacity, limits and block size are in the configuration space", () => {
  const { driver } = rig(new HeapBackend(16 * 512 + 100));
  const view = new DataView(driver.readConfig(0, 60).buffer);
  assert.equal(view.getBigUint64(0, true), 16n);
  assert.deepEqual([view.getUint32(8, true), view.getUint32(12, true)], [c.SIZE_MAX, c.SEG_MAX]);
  assert.equal(view.getUint32(20, true), 512);
  for (const blockSize of [0, 256, 768, 8192])
    assert.throws(() => new BlkDevice({ backend: new HeapBackend(), blockSize }), RangeError);
});

test("5.2.3: what the backend cannot do is not offered", () => {
  const offered = (backend: BlkBackend): bigint => new BlkDevice({ backend }).features;
  const optional = c.VIRTIO_BLK_F_DISCARD | c.VIRTIO_BLK_F_WRITE_ZEROES | c.VIRTIO_BLK_F_RO;
  assert.equal(offered(new HeapBackend()) & optional, c.VIRTIO_BLK_F_DISCARD | c.VIRTIO_BLK_F_WRITE_ZEROES);
  assert.equal(offered(new HeapBackend(512, true)) & optional, c.VIRTIO_BLK_F_RO);
});

test("5.2.6: what is written can be read, over several buffers", () => {
  const backend = new HeapBackend();
  const it = rig(backend);
  const bytes = Uint8Array.from({ length: 1024 }, (_, index) => index % 253);
  assert.equal(ask(it, [header(r.VIRTIO_BLK_T_OUT, 2), bytes.subarray(0, 700), bytes.subarray(700)])[0], OK);
  assert.deepEqual(backend.bytes.slice(1024, 2048), bytes);
  assert.deepEqual(ask(it, [header(r.VIRTIO_BLK_T_IN, 2)], [100, 924]), [OK, bytes, 1025]);
});

test("2.7.4: framing does not matter: header split, header and data in one buffer, status with the data", () => {
  const backend = new HeapBackend();
  const it = rig(backend);
  const out = header(r.VIRTIO_BLK_T_OUT, 1);
  const data = new Uint8Array(512).fill(7);
  assert.equal(ask(it, [out.subarray(0, 5), new Uint8Array([...out.subarray(5), ...data])])[0], OK);
  it.driver.add(0, [{ read: header(r.VIRTIO_BLK_T_IN, 1) }, { write: 513 }]);
  it.driver.notify(0);
  assert.deepEqual(it.driver.collect(0)[0]?.output, Uint8Array.of(...data, OK));
});

test("5.2.6: flush reaches the backend, GET_ID returns the padded id", () => {
  const backend = new HeapBackend();
  const it = rig(backend);
  assert.equal(ask(it, [header(r.VIRTIO_BLK_T_FLUSH)])[0], OK);
  assert.deepEqual(backend.calls, ["flush"]);
  const [status, id] = ask(it, [header(r.VIRTIO_BLK_T_GET_ID)], [20]);
  assert.deepEqual([status, new TextDecoder().decode(id)], [OK, "disk-0".padEnd(20, "\0")]);
});

test("5.2.6.2: with a driver that does not know of flushes, each write is flushed", async () => {
  const backend = new HeapBackend();
  const it = rig(backend, 0n);
  it.driver.add(0, [{ read: header(r.VIRTIO_BLK_T_OUT) }, { read: new Uint8Array(512) }, { write: 1 }]);
  it.driver.notify(0);
  await it.device.settled();
  assert.deepEqual(backend.calls, ["write 0", "flush"]);
  assert.equal(it.driver.collect(0)[0]?.output[0], OK);
});

test("5.2.6.2: a read-only disk fails writes and takes none", () => {
  const backend = new HeapBackend(1024, true);
  const it = rig(backend);
  assert.equal(ask(it, [header(r.VIRTIO_BLK_T_OUT), new Uint8Array(512)])[0], IOERR);
  assert.equal(ask(it, [header(r.VIRTIO_BLK_T_DISCARD), range(0, 1)])[0], UNSUPP);
  assert.deepEqual(backend.calls, []);
});

test("5.2.6.2: discard and write zeroes reach the backend, range by range", async () => {
  const backend = new HeapBackend();
  const it = rig(backend);
  it.driver.add(0, [
    { read: header(r.VIRTIO_BLK_T_DISCARD) },
    { read: range(1, 2) },
    { read: range(4, 1) },
    { write: 1 },
  ]);
  it.driver.add(0, [{ read: header(r.VIRTIO_BLK_T_WRITE_ZEROES) }, { read: range(0, 16, 1) }, { write: 1 }]);
  it.driver.notify(0);
  await it.device.settled();
  assert.deepEqual(backend.calls.toSorted(), ["discard 2048 512", "discard 512 1024", "zero 0 8192 true"]);
  assert.deepEqual(
    it.driver.collect(0).map(({ output }) => output[0]),
    [OK, OK],
  );
});

const past = 17;
const wrong: [string, number, Uint8Array[], number[]][] = [
  ["a read past the end", IOERR, [header(r.VIRTIO_BLK_T_IN, 16)], [512]],
  ["a read across the end", IOERR, [header(r.VIRTIO_BLK_T_IN, 15)], [1024]],
  ["a read at a sector that overflows", IOERR, [header(r.VIRTIO_BLK_T_IN, 2n ** 64n - 1n)], [512]],
  ["a read at a sector whose position overflows", IOERR, [header(r.VIRTIO_BLK_T_IN, 2n ** 55n)], [512]],
  ["a read of part of a sector", IOERR, [header(r.VIRTIO_BLK_T_IN)], [511]],
  ["a write past the end", IOERR, [header(r.VIRTIO_BLK_T_OUT, past), new Uint8Array(512)], []],
  ["a write of part of a sector", IOERR, [header(r.VIRTIO_BLK_T_OUT), new Uint8Array(100)], []],
  ["a request that does not exist", UNSUPP, [header(99)], []],
  ["a discard without a range", IOERR, [header(r.VIRTIO_BLK_T_DISCARD)], []],
  ["a discard of half a range", IOERR, [header(r.VIRTIO_BLK_T_DISCARD), new Uint8Array(24)], []],
  ["a discard past the end", IOERR, [header(r.VIRTIO_BLK_T_DISCARD), range(15, 2)], []],
  [
    "a discard of an overflowing range",
    IOERR,
    [header(r.VIRTIO_BLK_T_DISCARD), range(2n ** 64n - 1n, 0xffff_ffff)],
    [],
  ],
  ["a discard that asks to unmap", UNSUPP, [header(r.VIRTIO_BLK_T_DISCARD), range(0, 1, 1)], []],
  [
    "a write of zeroes with a flag unknown",
    UNSUPP,
    [header(r.VIRTIO_BLK_T_WRITE_ZEROES), range(0, 1, 2)],
    [],
  ],
  ["too many ranges", IOERR, [header(r.VIRTIO_BLK_T_DISCARD), new Uint8Array(17 * 16)], []],
];
for (const [name, status, read, write] of wrong)
  test(`5.2.6.2: ${name} is answered with an error and reaches no backend`, () => {
    const backend = new HeapBackend();
    const it = rig(backend);
    const [got, , written] = ask(it, read, write);
    assert.equal(got, status);
    assert.deepEqual(backend.calls, []);
    assert.equal(it.device.counters.failed, 1);
    // The status lies behind what was not written, so it alone cannot be counted.
    assert.equal(written, write.length === 0 ? 1 : 0);
  });

test("5.2.6: a request without a whole header, or without a status byte, is returned", () => {
  const it = rig();
  it.driver.add(0, [{ read: new Uint8Array(15) }, { write: 1 }]);
  it.driver.add(0, [{ read: header(r.VIRTIO_BLK_T_FLUSH) }]);
  it.driver.notify(0);
  assert.deepEqual(
    it.driver.collect(0).map(({ written }) => written),
    [0, 0],
  );
});

test("a backend that fails, at once or later, is an I/O error", async () => {
  const backend = new HeapBackend();
  const it = rig(backend);
  backend.delay = Promise.reject(new Error("bad block"));
  it.driver.add(0, [{ read: header(r.VIRTIO_BLK_T_IN) }, { write: 512 }, { write: 1 }]);
  it.driver.notify(0);
  await it.device.settled();
  assert.equal(it.driver.collect(0)[0]?.output.at(-1), IOERR);
  backend.flush = () => {
    throw new Error("no disk");
  };
  assert.equal(ask(it, [header(r.VIRTIO_BLK_T_FLUSH)])[0], IOERR);
});

test("requests run side by side and are answered as they finish", async () => {
  const backend = new HeapBackend();
  const it = rig(backend);
  let finish = (): void => {};
  backend.delay = new Promise<void>((resolve) => {
    finish = resolve;
  });
  it.driver.add(0, [{ read: header(r.VIRTIO_BLK_T_IN) }, { write: 512 }, { write: 1 }]);
  it.driver.notify(0);
  backend.delay = undefined;
  const second = it.driver.add(0, [{ read: header(r.VIRTIO_BLK_T_FLUSH) }, { write: 1 }]);
  it.driver.notify(0);
  assert.deepEqual(
    it.driver.collect(0).map(({ head }) => head),
    [second],
  );
  finish();
  await it.device.settled();
  assert.equal(it.driver.collect(0).length, 1);
});

test("2.4.1: after a reset nothing of a request under way reaches the guest", async () => {
  const backend = new HeapBackend();
  backend.bytes.fill(9);
  const it = rig(backend);
  let finish = (): void => {};
  backend.delay = new Promise<void>((resolve) => {
    finish = resolve;
  });
  it.driver.add(0, [{ read: header(r.VIRTIO_BLK_T_IN) }, { write: 512 }, { write: 1 }]);
  it.driver.notify(0);
  const before = [...it.memory.view(it.memory.regions[0]?.start ?? (0 as never), 0x10_0000)];
  it.driver.writeRegister(VIRTIO_MMIO_STATUS, 0);
  const interrupts = it.interrupts();
  finish();
  await it.device.settled();
  await turn();
  assert.equal(it.interrupts(), interrupts);
  assert.deepEqual([...it.memory.view(it.memory.regions[0]?.start ?? (0 as never), 0x10_0000)], before);
});

test("a request larger than any a driver may make is refused before a buffer is made for it", () => {
  const backend = new HeapBackend(64 * 2 ** 20);
  const it = rig(backend);
  const at = it.driver.allocate(2 ** 16);
  const head = it.driver.allocate(16);
  it.memory.write(head, header(r.VIRTIO_BLK_T_IN));
  const descriptors = Array.from({ length: 127 }, (_, index) => ({
    address: index === 0 ? head : at,
    length: index === 0 ? 16 : 2 ** 17,
    flags: (index === 0 ? 0 : 2) | (index === 126 ? 0 : 1),
    next: index + 1,
  }));
  it.driver.addRaw(0, descriptors);
  it.driver.notify(0);
  assert.deepEqual(backend.calls, []);
  assert.equal(it.device.counters.failed, 1);
});
