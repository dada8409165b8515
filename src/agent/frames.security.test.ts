import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { encodeFrame, FrameDecoder } from "./frames.ts";
import { type FrameSender, FrameType, MAX_PAYLOAD_BYTES } from "./protocol.ts";

const protocolError = { code: "AGENT_PROTOCOL" };

function refuses(sender: FrameSender, change: (bytes: Uint8Array) => void, type: FrameType = FrameType.DATA) {
  const bytes = encodeFrame({
    stream: 1,
    type,
    channel: sender === "guest" ? 1 : 0,
    payload: new Uint8Array(4).fill(1),
  });
  change(bytes);
  assert.throws(() => new FrameDecoder(sender).push(bytes, () => {}), protocolError);
}

test("FrameDecoder refuses types that are unknown or the other side's", () => {
  refuses("guest", (bytes) => bytes.set([99], 8));
  refuses("guest", (bytes) => bytes.set([FrameType.REQUEST], 8));
  refuses("host", (bytes) => bytes.set([FrameType.DONE], 8));
});

test("FrameDecoder refuses wrong lengths, channels and reserved bits", () => {
  refuses("guest", (bytes) => new DataView(bytes.buffer).setUint32(0, MAX_PAYLOAD_BYTES + 1, true));
  refuses("guest", (bytes) => new DataView(bytes.buffer).setUint32(0, 0xffff_ffff, true));
  refuses("guest", (bytes) => new DataView(bytes.buffer).setUint32(0, 0, true));
  refuses("guest", (bytes) => bytes.set([0], 9));
  refuses("guest", (bytes) => bytes.set([3], 9));
  refuses("guest", (bytes) => bytes.set([1], 10));
});

test("FrameDecoder refuses to be granted nothing", () => {
  const credit = encodeFrame({ stream: 1, type: FrameType.CREDIT, channel: 0, payload: new Uint8Array(4) });
  assert.throws(() => new FrameDecoder("guest").push(credit, () => {}), protocolError);
});

test("FrameDecoder ends in a frame or in AGENT_PROTOCOL for any bytes", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 64 })), (chunks) => {
      const decoder = new FrameDecoder("guest");
      try {
        for (const chunk of chunks) decoder.push(chunk, () => {});
      } catch (error) {
        assert.equal((error as { code?: string }).code, "AGENT_PROTOCOL");
      }
    }),
  );
});
