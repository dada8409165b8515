import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { encodeFrame, type Frame, FrameDecoder } from "./frames.ts";
import { FrameType, MAX_PAYLOAD_BYTES } from "./protocol.ts";

const guestFrame: fc.Arbitrary<Frame> = fc.record({
  stream: fc.integer({ min: 1, max: 0xffff_ffff }),
  type: fc.constant(FrameType.DATA),
  channel: fc.constantFrom(1, 2),
  payload: fc.uint8Array({ minLength: 1, maxLength: 300 }),
});

function decode(chunks: Uint8Array[]): Frame[] {
  const frames: Frame[] = [];
  const decoder = new FrameDecoder("guest");
  for (const chunk of chunks)
    decoder.push(chunk, (frame) => frames.push({ ...frame, payload: frame.payload.slice() }));
  return frames;
}

test("FrameDecoder gives back what was encoded, however the bytes are split", () => {
  fc.assert(
    fc.property(fc.array(guestFrame), fc.array(fc.integer({ min: 1, max: 40 })), (frames, cuts) => {
      const bytes = Buffer.concat(frames.map(encodeFrame));
      const chunks: Uint8Array[] = [];
      let at = 0;
      for (const cut of cuts) {
        chunks.push(bytes.subarray(at, at + cut));
        at += cut;
      }
      chunks.push(bytes.subarray(at));
      assert.deepEqual(
        decode(chunks).map((frame) => ({ ...frame, payload: [...frame.payload] })),
        frames.map((frame) => ({ ...frame, payload: [...frame.payload] })),
      );
    }),
  );
});

test("FrameDecoder takes a frame of the largest size", () => {
  const payload = new Uint8Array(MAX_PAYLOAD_BYTES).fill(7);
  const bytes = encodeFrame({ stream: 1, type: FrameType.DATA, channel: 1, payload });
  assert.equal(decode([bytes.subarray(0, 5), bytes.subarray(5)])[0]?.payload.length, MAX_PAYLOAD_BYTES);
});
