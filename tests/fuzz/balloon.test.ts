import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BalloonDevice } from "../../src/devices/balloon/device.ts";
import { deviceRig } from "../../src/virtio/testing/device-rig.ts";
import { fuzz } from "./fuzz.ts";

/** 64 pages in two pieces, with something before, between and behind them. */
const ram = [
  { start: 0x2_0000, length: 0x2_0000 },
  { start: 0x6_0000, length: 0x2_0000 },
];
const inRam = (page: number): boolean => (page >= 32 && page < 64) || (page >= 96 && page < 128);

const page = fc.oneof({ weight: 8, arbitrary: fc.nat(140) }, fc.nat(0xffff_ffff));
const operation = fc.record({
  queue: fc.constantFrom(0, 0, 1),
  pages: fc.array(page, { maxLength: 40 }),
  /** Bytes missing from the last page's number. */
  missing: fc.nat(3),
});

test("5.5.6: any lists: only RAM that is in the balloon is ever released, in whole host pages, and the gauge is exact", () => {
  fuzz(
    fc.property(
      fc.array(operation, { maxLength: 12 }),
      fc.constantFrom(4096, 16_384),
      (operations, hostPageSize) => {
        const inside = new Set<number>();
        const released = new Set<number>();
        const balloon = new BalloonDevice({
          ram,
          hostPageSize,
          release(start, length) {
            assert.ok(length > 0 && start % hostPageSize === 0 && length % hostPageSize === 0);
            for (let at = start / 4096; at < (start + length) / 4096; at++) {
              assert.ok(inside.has(at), `page ${at} is the guest's`);
              released.add(at);
            }
            return true;
          },
        });
        const it = deviceRig(balloon);
        it.driver.bringUp({ features: 2n ** 30n - 1n });
        for (const { queue, pages, missing } of operations) {
          const bytes = new Uint8Array(Uint32Array.from(pages).buffer);
          const list = bytes.subarray(0, Math.max(0, bytes.length - missing));
          const whole = pages.slice(0, Math.floor(list.length / 4));
          for (const at of whole.filter(inRam)) {
            if (queue === 0) inside.add(at);
            else {
              inside.delete(at);
              released.delete(at);
            }
          }
          it.driver.add(queue, [{ read: list }]);
          it.driver.notify(queue);
          assert.equal(it.driver.collect(queue)[0]?.written, list.length);
          assert.equal(balloon.gauges.releasedPages, released.size);
        }
        // Every host page that is in the balloon as a whole has been released.
        const perHostPage = hostPageSize / 4096;
        for (let first = 0; first < 128; first += perHostPage) {
          const parts = Array.from({ length: perHostPage }, (_, part) => first + part);
          if (parts.every((at) => inside.has(at))) assert.ok(parts.every((at) => released.has(at)));
        }
      },
    ),
    { share: 0.7 },
  );
});

test("5.5.6.6: any reports: only whole host pages of the RAM are released", () => {
  const piece = fc.record({
    address: fc.nat(0x9_0000),
    length: fc.oneof(fc.nat(0x1_0000), fc.nat(0xffff_ffff)),
  });
  fuzz(
    fc.property(fc.array(piece, { minLength: 1, maxLength: 6 }), (pieces) => {
      const balloon = new BalloonDevice({
        ram,
        hostPageSize: 16_384,
        release(start, length) {
          assert.ok(length > 0 && start % 16_384 === 0 && length % 16_384 === 0);
          for (let at = start / 4096; at < (start + length) / 4096; at++) assert.ok(inRam(at));
          return true;
        },
      });
      const it = deviceRig(balloon);
      it.driver.bringUp({ features: 2n ** 30n - 1n });
      it.driver.addRaw(
        3,
        pieces.map((entry, at) => ({ ...entry, flags: at === pieces.length - 1 ? 2 : 3, next: at + 1 })),
      );
      it.driver.notify(3);
    }),
    { share: 0.3 },
  );
});
