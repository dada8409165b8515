import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { BlkBackend } from "../../src/devices/blk/backend.ts";
import { BlkDevice } from "../../src/devices/blk/device.ts";
import * as r from "../../src/devices/blk/request.ts";
import { deviceRig } from "../../src/virtio/testing/device-rig.ts";
import { fuzzAsync } from "./fuzz.ts";

const sectors = 8;
const diskBytes: number = sectors * r.SECTOR;

/** Checks what it is asked, for the device promises that it is inside the disk. */
class CheckedBackend implements BlkBackend {
  readonly length = diskBytes;
  readonly readOnly = false;
  readonly id = "fuzz";
  readonly bytes = new Uint8Array(diskBytes);
  /** An exception would be no more than an I/O error to the device. */
  readonly violations: string[] = [];

  async read(position: number, slices: readonly Uint8Array[]): Promise<void> {
    let at = this.#check(position, slices);
    for (const slice of slices) {
      slice.set(this.bytes.subarray(at, at + slice.length));
      at += slice.length;
    }
  }

  write(position: number, slices: readonly Uint8Array[]): void {
    let at = this.#check(position, slices);
    for (const slice of slices) {
      this.bytes.set(slice, at);
      at += slice.length;
    }
  }

  flush(): void {}

  discard(position: number, length: number): void {
    this.#check(position, [new Uint8Array(length)]);
  }

  writeZeroes(position: number, length: number): void {
    this.#check(position, [new Uint8Array(length)]);
    this.bytes.fill(0, position, position + length);
  }

  #check(position: number, slices: readonly Uint8Array[]): number {
    const length = slices.reduce((sum, slice) => sum + slice.length, 0);
    const isInside = position >= 0 && position + length <= diskBytes;
    if (!isInside || position % r.SECTOR !== 0 || length % r.SECTOR !== 0)
      this.violations.push(`${length} bytes at ${position}`);
    return position;
  }
}

const request = fc.record({
  type: fc.oneof(fc.constantFrom(0, 1, 1, 0, 4, 8, 11, 13), fc.nat(30)),
  sector: fc.oneof(fc.nat(sectors + 1).map(BigInt), fc.bigInt(0n, 2n ** 64n - 1n)),
  data: fc.oneof(
    fc.constantFrom(0, 1, 2, 9).map((count) => new Uint8Array(count * r.SECTOR).fill(count)),
    fc.uint8Array({ maxLength: 40 }),
    fc
      .tuple(fc.bigInt(0n, 2n ** 64n - 1n), fc.nat(0xffff_ffff), fc.nat(2), fc.nat(sectors), fc.boolean())
      .map(([sector, count, flags, near, isNear]) =>
        rangeOf(isNear ? BigInt(near) : sector, isNear ? 1 : count, flags),
      ),
  ),
  room: fc.oneof(fc.constantFrom(0, 511, 512, 1024, 20), fc.nat(600)),
  cut: fc.nat(20),
});
type Request = typeof request extends fc.Arbitrary<infer T> ? T : never;

function rangeOf(sector: bigint, count: number, flags: number): Uint8Array {
  const bytes = new Uint8Array(r.RANGE_LENGTH);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, sector, true);
  view.setUint32(8, count, true);
  view.setUint32(12, flags, true);
  return bytes;
}

function encode({ type, sector, data }: Request): Uint8Array {
  const bytes = new Uint8Array(r.REQUEST_HEADER_LENGTH + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type, true);
  view.setBigUint64(8, sector, true);
  bytes.set(data, r.REQUEST_HEADER_LENGTH);
  return bytes;
}

test("5.2.6: any requests: each is answered, the disk holds what was written and reads give that", async () => {
  await fuzzAsync(
    fc.asyncProperty(fc.array(request, { maxLength: 12 }), async (requests) => {
      const backend = new CheckedBackend();
      const device = new BlkDevice({ backend });
      const it = deviceRig(device);
      it.driver.bringUp({ features: 2n ** 30n - 1n, queueSize: 64 });
      const model = new Uint8Array(diskBytes);
      for (const next of requests) {
        const bytes = encode(next);
        const cut = Math.min(next.cut, bytes.length);
        it.driver.add(0, [
          { read: bytes.subarray(0, cut) },
          { read: bytes.subarray(cut) },
          { write: next.room },
          { write: 1 },
        ]);
        it.driver.notify(0);
        await device.settled();
        const [used] = it.driver.collect(0);
        assert.ok(used !== undefined, "no answer");
        const at = Number(next.sector) * r.SECTOR;
        const status = used.output.at(-1);
        const isWrite = next.type === r.VIRTIO_BLK_T_OUT && next.data.length % r.SECTOR === 0;
        const fits = isWrite && at + next.data.length <= diskBytes;
        if (next.type === r.VIRTIO_BLK_T_OUT)
          assert.equal(status, fits ? r.VIRTIO_BLK_S_OK : r.VIRTIO_BLK_S_IOERR);
        if (fits) model.set(next.data, at);
        if (next.type === r.VIRTIO_BLK_T_IN && status === r.VIRTIO_BLK_S_OK)
          assert.deepEqual(used.output.slice(0, -1), model.slice(at, at + next.room));
        if (next.type === r.VIRTIO_BLK_T_WRITE_ZEROES && status === r.VIRTIO_BLK_S_OK)
          model.set(backend.bytes);
      }
      assert.deepEqual(backend.violations, []);
      assert.deepEqual(backend.bytes, model);
    }),
    { share: 1 },
  );
});
