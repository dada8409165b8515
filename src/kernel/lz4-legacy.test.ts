import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodeLz4Legacy } from "./lz4-legacy.ts";

const magic = [0x02, 0x21, 0x4c, 0x18];
const frame = (...blocks: number[][]) =>
  new Uint8Array([...magic, ...blocks.flatMap((block) => [block.length, 0, 0, 0, ...block])]);
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1");

test("decodeLz4Legacy() copies literals and matches, overlapping ones too", () => {
  // "ab", then 7 bytes from 2 back, then "!".
  assert.equal(text(decodeLz4Legacy(frame([0x23, 0x61, 0x62, 2, 0, 0x10, 0x21]), 10)), "ababababa!");
  // "abcd", then 4 bytes from 4 back, then nothing.
  assert.equal(text(decodeLz4Legacy(frame([0x40, 0x61, 0x62, 0x63, 0x64, 4, 0, 0x00]), 8)), "abcdabcd");
});

test("decodeLz4Legacy() joins blocks and reads long lengths", () => {
  const long = [0xf0, 5, ...new Array<number>(20).fill(0x78)];
  assert.equal(text(decodeLz4Legacy(frame(long, [0x10, 0x79]), 21)), `${"x".repeat(20)}y`);
  const run = [0x1f, 0x78, 1, 0, 255, 1, 0x00];
  assert.equal(text(decodeLz4Legacy(frame(run), 276)), "x".repeat(276));
});

test("decodeLz4Legacy() refuses matches outside the block, and lengths that lie", () => {
  const refused: [Uint8Array, number][] = [
    [frame([0x10, 0x61, 2, 0, 0x00]), 6],
    [frame([0x10, 0x61, 0, 0, 0x00]), 6],
    [frame([0x10, 0x61], [0x04, 1, 0, 0x00]), 9],
    [frame([0xf0, 255]), 300],
    [frame([0x40, 0x61]), 4],
    [frame([0x10, 0x61]), 2],
    [frame([0x20, 0x61, 0x62]), 1],
    [new Uint8Array([...magic, 9, 0, 0, 0, 0x10]), 1],
    [new Uint8Array([1, 2, 3, 4]), 0],
  ];
  for (const [bytes, length] of refused)
    assert.throws(() => decodeLz4Legacy(bytes, length), RangeError, text(bytes));
});

test("decodeLz4Legacy() never fails otherwise than by a RangeError", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat(100), (block, length) => {
      try {
        assert.equal(decodeLz4Legacy(frame([...block]), length).length, length);
      } catch (error) {
        assert.ok(error instanceof RangeError, String(error));
      }
    }),
    { numRuns: 2000 },
  );
});
