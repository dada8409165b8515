import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { concat } from "./testing/tar-builder.ts";
import { skippableFrame, zstdFrame, zstdOf } from "./testing/zstd-frames.ts";
import { ZstdFrameGuard } from "./zstd-frame-guard.ts";

const frames = [
  zstdOf(new Uint8Array(250_000).fill(7)),
  skippableFrame(300),
  zstdFrame({ blocks: [{ byte: 1, count: 100_000 }, Uint8Array.of(1, 2, 3)] }),
  // Single segment, content size of two bytes, checksum.
  Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x64, 0, 0, 0x09, 0, 0, 5, 1, 2, 3, 4),
];

test("ZstdFrameGuard cuts at every end of a frame, however the bytes arrive", () => {
  const whole = concat(...frames);
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 200_000 }), { minLength: 1, maxLength: 8 }), (lengths) => {
      const guard = new ZstdFrameGuard();
      const pieces: Uint8Array[] = [];
      for (let at = 0, index = 0; at < whole.length; index++) {
        const length = lengths[index % lengths.length] ?? 1;
        pieces.push(...guard.split(whole.subarray(at, at + length)));
        at += length;
      }
      guard.finish();
      assert.ok(Buffer.concat(pieces).equals(whole));
      const ends = new Set<number>();
      pieces.reduce((at, piece) => {
        ends.add(at + piece.length);
        return at + piece.length;
      }, 0);
      let end = 0;
      for (const frame of frames) {
        end += frame.length;
        assert.ok(ends.has(end));
      }
    }),
    { numRuns: 60 },
  );
});

const hostile: Readonly<Record<string, { bytes: Uint8Array; message: RegExp }>> = {
  "a window of gigabytes": {
    bytes: zstdFrame({ blocks: [new Uint8Array(1)], window: 21 << 3 }),
    message: /window of 2147483648 bytes/,
  },
  "a window of gigabytes in a second frame": {
    bytes: concat(zstdOf(new Uint8Array(5)), zstdFrame({ blocks: [new Uint8Array(1)], window: 31 << 3 })),
    message: /window of/,
  },
  "a single segment of terabytes": {
    bytes: Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 1, 0, 0),
    message: /window of/,
  },
  "bytes that are not zstd": { bytes: new Uint8Array(100).fill(65), message: /not zstd data/ },
  "garbage behind a frame": {
    bytes: concat(zstdOf(new Uint8Array(5)), new Uint8Array(10).fill(1)),
    message: /not zstd data/,
  },
  "a reserved block type": {
    bytes: concat(zstdFrame({ blocks: [] }), Uint8Array.of(0x07, 0, 0)),
    message: /reserved type/,
  },
  "a frame that is cut short": { bytes: zstdOf(new Uint8Array(500)).slice(0, 300), message: /cut short/ },
  "a frame header that is cut short": { bytes: Uint8Array.of(0x28, 0xb5, 0x2f), message: /cut short/ },
};

for (const [name, { bytes, message }] of Object.entries(hostile))
  test(`ZstdFrameGuard refuses ${name}`, () => {
    assert.throws(
      () => {
        const guard = new ZstdFrameGuard();
        for (const _ of guard.split(bytes));
        guard.finish();
      },
      (error: SupermachineError) => error.code === "ARCHIVE_INVALID" && message.test(error.message),
    );
  });

test("ZstdFrameGuard meets random bytes with ARCHIVE_INVALID or silence", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (tail) => {
      const guard = new ZstdFrameGuard();
      try {
        for (const _ of guard.split(concat(Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd), tail)));
        guard.finish();
      } catch (error) {
        if (!(error instanceof SupermachineError) || error.code !== "ARCHIVE_INVALID") throw error;
      }
    }),
    { numRuns: 500 },
  );
});
