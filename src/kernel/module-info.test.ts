import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { moduleName, readModuleInfo } from "./module-info.ts";
import { moduleFile } from "./testing/module-file.ts";

test("readModuleInfo() finds the name and the dependencies, dashes and underscores alike", () => {
  const info = readModuleInfo(moduleFile("virtio_rng", ["virtio-ring", "virtio"]));
  assert.deepEqual(info, { name: "virtio_rng", depends: ["virtio_ring", "virtio"] });
  assert.deepEqual(readModuleInfo(moduleFile("fuse", [])).depends, []);
});

test("moduleName() is the same for every spelling of a module", () => {
  for (const path of [
    "virtio-rng",
    "kernel/drivers/char/hw_random/virtio-rng.ko.xz",
    "virtio_rng.ko",
    "a/virtio_rng.ko.zst",
  ])
    assert.equal(moduleName(path), "virtio_rng");
});

test("readModuleInfo() refuses damaged files with a RangeError and nothing else", () => {
  const good = moduleFile("fuse", ["virtio"]);
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.nat(255), fc.nat(good.length), (at, byte, length) => {
      const damaged = good.slice(0, length);
      if (at < length) damaged[at] = byte;
      try {
        readModuleInfo(damaged);
      } catch (error) {
        assert.ok(error instanceof RangeError, String(error));
      }
    }),
    { numRuns: 2000 },
  );
  assert.throws(() => readModuleInfo(new Uint8Array(0)), RangeError);
});
