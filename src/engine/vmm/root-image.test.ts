import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { rootRegionLength } from "./root-image.ts";

const MiB = 2 ** 20;
const GiB = 2 ** 30;

test("regions are of few lengths", () => {
  const lengths = [0, 1, 128 * MiB, 128 * MiB + 1, 500 * MiB, GiB, GiB + 1, 1.5 * GiB, 5.1 * GiB, 20 * GiB];
  assert.deepEqual(
    lengths.map((length) => rootRegionLength(length) / MiB),
    [128, 128, 128, 256, 512, 1024, 1280, 1536, 6144, 20480],
  );
});

test("a region holds its image, in the kernel's blocks of 128 MiB, and is not much longer", () => {
  fc.assert(
    fc.property(fc.nat({ max: 2 ** 40 }), (imageLength) => {
      const length = rootRegionLength(imageLength);
      assert.ok(length >= imageLength);
      assert.equal(length % (128 * MiB), 0);
      if (imageLength > GiB) assert.ok(length < 1.25 * imageLength + 1);
      else assert.ok(length <= Math.max(128 * MiB, 2 * imageLength));
    }),
  );
});
