import assert from "node:assert/strict";
import { test } from "node:test";
import { VIRTIO_MMIO_CONFIG_GENERATION, VIRTIO_MMIO_STATUS } from "../../virtio/constants.ts";
import { type DeviceRig, deviceRig } from "../../virtio/testing/device-rig.ts";
import { BalloonDevice } from "./device.ts";
import { balloonStateCodec } from "./state.ts";

interface BalloonRig extends DeviceRig {
  readonly balloon: BalloonDevice;
  /** What was released, in order. */
  readonly released: [start: number, length: number][];
}

const TELL: bigint = 1n << 0n;
const STATS: bigint = 1n << 1n;
const REPORTING: bigint = 1n << 5n;
const all: bigint = (1n << 30n) - 1n;
/** RAM of the balloon's rig: 512 KiB from 256 KiB on, so that there is something below it and above. */
const ram = { start: 0x4_0000, length: 0x8_0000 };
const firstPage: number = ram.start / 4096;

function rig(options: { hostPageSize?: number; features?: bigint; succeeds?: boolean } = {}): BalloonRig {
  const released: [number, number][] = [];
  const balloon = new BalloonDevice({
    ram: [ram],
    hostPageSize: options.hostPageSize ?? 4096,
    release: (start, length) => {
      released.push([start, length]);
      return options.succeeds ?? true;
    },
  });
  const it = deviceRig(balloon, { memoryBytes: 0x40_0000 });
  it.driver.bringUp({ features: options.features ?? all });
  return { ...it, balloon, released };
}

function list(...pages: number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(pages).buffer);
}

/** Sends a list to a queue and returns the used length. */
function send(it: DeviceRig, queue: number, bytes: Uint8Array): number | undefined {
  it.driver.add(queue, [{ read: bytes }]);
  it.driver.notify(queue);
  return it.driver.collect(queue)[0]?.written;
}

test("5.5.6: pages of the RAM are released and counted, those beside it are skipped", () => {
  const it = rig();
  const pages = list(firstPage, firstPage + 100, 0xffff_ffff, firstPage - 1);
  assert.equal(send(it, 0, pages), 16);
  assert.deepEqual(it.released, [
    [ram.start, 4096],
    [ram.start + 100 * 4096, 4096],
  ]);
  assert.equal(it.balloon.gauges.releasedPages, 2);
});

test("a list of pages outside the RAM alone releases nothing", () => {
  const it = rig();
  assert.equal(send(it, 0, list(0, 0xffff_ffff, (ram.start + ram.length) / 4096)), 12);
  assert.deepEqual([it.released, it.balloon.gauges.releasedPages], [[], 0]);
});

test("an incomplete page number at a list's end is ignored", () => {
  const it = rig();
  assert.equal(send(it, 0, list(firstPage, firstPage + 1).subarray(0, 6)), 6);
  assert.equal(it.balloon.gauges.releasedPages, 1);
});

test("a list in a writable buffer is no list", () => {
  const it = rig();
  it.driver.add(0, [{ write: 8 }]);
  it.driver.notify(0);
  assert.equal(it.driver.collect(0)[0]?.written, 0);
  assert.deepEqual(it.released, []);
});

test("a list longer than allowed is returned unread", () => {
  const it = rig();
  assert.equal(send(it, 0, new Uint8Array(2 ** 20 + 4)), 0);
  assert.equal(send(it, 0, new Uint8Array(2 ** 20)), 2 ** 20);
});

test("adjoining pages are released as one range, whatever their order, and each once", () => {
  const it = rig();
  send(it, 0, list(firstPage + 3, firstPage + 1, firstPage + 2, firstPage + 1));
  send(it, 0, list(firstPage + 2));
  assert.deepEqual(it.released, [[ram.start + 4096, 3 * 4096]]);
  assert.equal(it.balloon.gauges.releasedPages, 3);
});

test("a page is counted only if it was released", () => {
  const it = rig({ succeeds: false });
  send(it, 0, list(firstPage));
  assert.deepEqual(it.balloon.gauges, {
    targetPages: 0,
    actualPages: 0,
    releasedPages: 0,
    reportedBytes: 0,
    failedReleases: 1,
  });
});

test("deflating gives back what was inflated, and nothing else lowers the gauge", () => {
  const it = rig();
  send(it, 0, list(firstPage, firstPage + 1, firstPage + 2));
  assert.equal(send(it, 1, list(firstPage + 1, firstPage + 50, 7)), 12);
  assert.equal(it.balloon.gauges.releasedPages, 2);
  send(it, 1, list(firstPage + 1));
  assert.equal(it.balloon.gauges.releasedPages, 2);
  // And it can be inflated again.
  send(it, 0, list(firstPage + 1));
  assert.equal(it.balloon.gauges.releasedPages, 3);
});

test("on a host with larger pages only whole ones are released, once all of their parts are in the balloon", () => {
  const it = rig({ hostPageSize: 16_384 });
  send(it, 0, list(firstPage + 4, firstPage + 5, firstPage + 6, firstPage + 9));
  assert.deepEqual([it.released, it.balloon.gauges.releasedPages], [[], 0]);
  send(it, 0, list(firstPage + 7, firstPage + 8));
  assert.deepEqual(it.released, [[ram.start + 16_384, 16_384]]);
  assert.equal(it.balloon.gauges.releasedPages, 4);
});

test("5.5.6.1: where the guest does not tell before it takes pages back, only one list's pages make a host page", () => {
  const it = rig({ hostPageSize: 16_384, features: all & ~TELL });
  send(it, 0, list(firstPage, firstPage + 1, firstPage + 2));
  send(it, 0, list(firstPage + 3));
  assert.deepEqual(it.released, []);
  send(it, 0, list(firstPage + 4, firstPage + 5, firstPage + 6, firstPage + 7));
  assert.deepEqual(it.released, [[ram.start + 16_384, 16_384]]);
});

test("several requests are answered with one interrupt", () => {
  const it = rig({ features: 0n });
  const before = it.interrupts();
  for (const page of [firstPage, firstPage + 1]) it.driver.add(0, [{ read: list(page) }]);
  it.driver.notify(0);
  assert.equal(it.driver.collect(0).length, 2);
  assert.equal(it.interrupts(), before + 1);
});

test("5.5.6: requestPages() changes num_pages and tells the driver, once for the same number", () => {
  const it = rig();
  it.driver.takeInterrupts();
  it.balloon.requestPages(0x1_0203);
  assert.deepEqual(it.driver.readConfig(0, 4), Uint8Array.of(3, 2, 1, 0));
  assert.equal(it.driver.takeInterrupts(), 2);
  const generation = it.driver.readRegister(VIRTIO_MMIO_CONFIG_GENERATION);
  it.balloon.requestPages(0x1_0203);
  assert.equal(it.driver.readRegister(VIRTIO_MMIO_CONFIG_GENERATION), generation);
  for (const pages of [-1, 0.5, 2 ** 32]) assert.throws(() => it.balloon.requestPages(pages), RangeError);
});

test("5.5.4: the driver may write actual as a whole, and nothing else", () => {
  const it = rig();
  it.transport.write(0x104, Uint8Array.of(5, 0, 0, 0));
  assert.equal(it.balloon.gauges.actualPages, 5);
  assert.deepEqual(it.driver.readConfig(0, 8), Uint8Array.of(0, 0, 0, 0, 5, 0, 0, 0));
  it.transport.write(0x100, Uint8Array.of(9, 0, 0, 0));
  it.transport.write(0x104, Uint8Array.of(1));
  it.transport.write(0x106, Uint8Array.of(1, 1));
  assert.deepEqual([it.balloon.gauges.targetPages, it.balloon.gauges.actualPages], [0, 5]);
});

test("5.5.6.6: reported pages are released, in ranges and inside the RAM only, on whichever queue the driver has for it", () => {
  for (const queue of [3, 4]) {
    const it = rig({ hostPageSize: 16_384 });
    it.driver.addRaw(queue, [
      { address: ram.start + 0x2000, length: 0x6000, flags: 3, next: 1 },
      { address: ram.start + 0x8000, length: 0x4000, flags: 3, next: 2 },
      { address: ram.start + ram.length - 0x4000, length: 0x8000, flags: 3, next: 3 },
      { address: 0x1000, length: 0x8000, flags: 2, next: 0 },
    ]);
    it.driver.notify(queue);
    assert.deepEqual(it.released, [
      [ram.start + 0x4000, 0x8000],
      [ram.start + ram.length - 0x4000, 0x4000],
    ]);
    assert.equal(it.balloon.gauges.reportedBytes, 0xc000);
    assert.equal(it.driver.collect(queue).length, 1);
  }
});

test("5.5.2: without statistics the third queue is that of the reports; without reporting nothing is released", () => {
  const it = rig({ features: REPORTING });
  it.driver.addRaw(2, [{ address: ram.start, length: 0x1000, flags: 2, next: 0 }]);
  it.driver.notify(2);
  assert.deepEqual(it.released, [[ram.start, 0x1000]]);
  const without = rig({ features: STATS });
  without.driver.addRaw(3, [{ address: ram.start, length: 0x1000, flags: 2, next: 0 }]);
  without.driver.notify(3);
  assert.deepEqual(without.released, []);
});

function entry(tag: number, value: bigint): number[] {
  const bytes = new Uint8Array(10);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, tag, true);
  view.setBigUint64(2, value, true);
  return [...bytes];
}

test("5.5.6.3: statistics are read when they come, and asked for by returning their buffer", async () => {
  const it = rig();
  send(it, 2, Uint8Array.from([...entry(4, 1000n), ...entry(5, 2n ** 33n)]));
  assert.deepEqual(it.balloon.lastStatistics, { freeBytes: 1000, totalBytes: 2 ** 33 });
  const asked = it.balloon.statistics();
  assert.equal(it.balloon.statistics() instanceof Promise, true);
  assert.equal(it.driver.collect(2).length, 1);
  send(it, 2, Uint8Array.from(entry(6, 77n)));
  assert.deepEqual(await asked, { availableBytes: 77 });
  // The buffer is kept for the next time.
  assert.equal(it.driver.collect(2).length, 0);
  assert.equal(it.host.position(2)?.nextAvailable, it.host.position(2)?.nextUsed);
});

test("5.5.6.3.2: the device asks to be notified of the buffer after the one it keeps", () => {
  const it = rig();
  send(it, 2, Uint8Array.from(entry(4, 1n)));
  const { device, size } = it.driver.queue(2);
  assert.equal(it.memory.u16((device + 4 + 8 * size) as never), 1);
});

test("5.5.6.3.2: unknown tags, an incomplete entry and any order are no trouble", () => {
  const it = rig();
  send(it, 2, Uint8Array.from([...entry(99, 1n), ...entry(9, 3n), ...entry(0, 4n), 1, 2, 3]));
  assert.deepEqual(it.balloon.lastStatistics, { hugePageFailures: 3, swapInBytes: 4 });
});

test("a driver that has several buffers of statistics out gets the older ones back", () => {
  const it = rig();
  for (const value of [1n, 2n, 3n]) it.driver.add(2, [{ read: Uint8Array.from(entry(4, value)) }]);
  it.driver.notify(2);
  assert.deepEqual(it.balloon.lastStatistics, { freeBytes: 3 });
  assert.equal(it.driver.collect(2).length, 2);
});

test("statistics that the driver does not give are refused, and those under way when it goes", async () => {
  await assert.rejects(rig({ features: 0n }).balloon.statistics(), { code: "UNSUPPORTED" });
  const it = rig();
  const asked = it.balloon.statistics();
  it.driver.writeRegister(VIRTIO_MMIO_STATUS, 0);
  await assert.rejects(asked, { code: "UNSUPPORTED" });
});

test("a driver that starts over has an empty balloon", () => {
  const it = rig();
  send(it, 0, list(firstPage));
  it.transport.write(0x104, Uint8Array.of(1, 0, 0, 0));
  it.driver.writeRegister(VIRTIO_MMIO_STATUS, 0);
  assert.deepEqual([it.balloon.gauges.releasedPages, it.balloon.gauges.actualPages], [0, 0]);
});

test("target and actual survive a save; what was released does not, for a restored machine has all its memory", () => {
  const it = rig();
  send(it, 0, list(firstPage));
  it.balloon.requestPages(10);
  it.transport.write(0x104, Uint8Array.of(1, 0, 0, 0));
  const state = balloonStateCodec.parse(balloonStateCodec.encode(it.balloon.save()));
  const restored = new BalloonDevice({ ram: [ram], release: () => true, state });
  assert.deepEqual([restored.gauges.targetPages, restored.gauges.actualPages], [10, 1]);
  assert.equal(restored.gauges.releasedPages, 0);
  for (const wrong of [
    null,
    {},
    { targetPages: -1, actualPages: 0 },
    { targetPages: 0, actualPages: 2 ** 32 },
  ])
    assert.throws(() => balloonStateCodec.parse(new TextEncoder().encode(JSON.stringify(wrong))), {
      code: "SNAPSHOT_INVALID",
    });
});

test("host pages that are no pages are refused", () => {
  for (const hostPageSize of [0, 1024, 5000])
    assert.throws(() => new BalloonDevice({ ram: [ram], release: () => true, hostPageSize }), RangeError);
});

test("statistics that a reset makes the guest forget are refused, and can be asked for again", async () => {
  const it = rig();
  send(it, 2, Uint8Array.from(entry(4, 1n)));
  const asked = it.balloon.statistics();
  it.balloon.restore({ targetPages: 0, actualPages: 0 });
  await assert.rejects(asked, { code: "UNSUPPORTED" });
  const again = it.balloon.statistics();
  send(it, 2, Uint8Array.from(entry(4, 2n)));
  assert.deepEqual(await again, { freeBytes: 2 });
});
