import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { encodeFrame, type Frame, FrameDecoder } from "../../src/agent/frames.ts";
import { Channel, FrameType } from "../../src/agent/protocol.ts";
import { loadKernel } from "../../src/arch/x64/load-kernel.ts";
import { balloonStateCodec } from "../../src/devices/balloon/state.ts";
import { SerialPort } from "../../src/devices/serial/device.ts";
import { resetSerialState, serialStateCodec, serialStateWords } from "../../src/devices/serial/state.ts";
import { vsockStateCodec } from "../../src/devices/vsock/state.ts";
import { SupermachineError } from "../../src/errors/supermachine-error.ts";
import { gpa } from "../../src/memory/address.ts";
import { HeapMemory } from "../../src/memory/heap-memory.ts";
import { deviceRig } from "../../src/virtio/testing/device-rig.ts";
import { EchoDevice } from "../../src/virtio/testing/echo-device.ts";
import { transportStateCodec } from "../../src/virtio/transport-state.ts";
import { fuzz } from "./fuzz.ts";

function allow(codes: readonly string[], action: () => void): void {
  try {
    action();
  } catch (error) {
    if (!(error instanceof SupermachineError) || !codes.includes(error.code)) throw error;
  }
}

/** A frame that the guest may send; the damage is done below. */
const frame = fc
  .record({
    stream: fc.nat(0xffff_ffff),
    kind: fc.constantFrom(
      { type: FrameType.DATA, channel: Channel.OUTPUT, length: 70 },
      { type: FrameType.DATA, channel: Channel.ERROR, length: 1 },
      { type: FrameType.EOF, channel: Channel.OUTPUT, length: 0 },
      { type: FrameType.CREDIT, channel: Channel.INPUT, length: 4 },
      { type: FrameType.DONE, channel: 0, length: 30 },
      { type: FrameType.INPUT_CLOSED, channel: 0, length: 0 },
    ),
    fill: fc.integer({ min: 1, max: 255 }),
  })
  .map(({ stream, kind: { type, channel, length }, fill }) =>
    encodeFrame({ stream, type, channel, payload: new Uint8Array(length).fill(fill) }),
  );
const damage = fc.record({ at: fc.nat(400), value: fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 255)) });

test("the agent's frames: damaged ones, cut anywhere, give frames or AGENT_PROTOCOL, and the same however they are cut", () => {
  fuzz(
    fc.property(
      fc.array(fc.oneof({ weight: 9, arbitrary: frame }, fc.uint8Array({ maxLength: 30 })), { maxLength: 8 }),
      fc.array(damage, { maxLength: 2 }),
      fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 10 }),
      (parts, changes, cuts) => {
        const bytes = Uint8Array.from(parts.flatMap((part) => [...part]));
        for (const { at, value } of changes) bytes[at] = value;
        const decode = (pieces: Iterable<Uint8Array>): Uint8Array[] => {
          const frames: Uint8Array[] = [];
          const decoder = new FrameDecoder("guest");
          const keep = (frame: Frame): void => void frames.push(encodeFrame(frame));
          allow(["AGENT_PROTOCOL"], () => {
            for (const piece of pieces) decoder.push(piece, keep);
          });
          return frames;
        };
        assert.deepEqual(decode(cutUp(bytes, cuts)), decode([bytes]));
      },
    ),
    { share: 0.25 },
  );
});

function* cutUp(bytes: Uint8Array, cuts: readonly number[]): Generator<Uint8Array> {
  let at = 0;
  for (let index = 0; at < bytes.length; index++) {
    const length = cuts[index % cuts.length] ?? 1;
    yield bytes.slice(at, at + length);
    at += length;
  }
}

test("saved states: any bytes or values are a state or SNAPSHOT_INVALID, and any state is restored or refused", () => {
  const queue = fc.record({
    size: fc.constantFrom(0, 1, 4, 16, 3, 65_536),
    ready: fc.boolean(),
    descriptors: fc.tuple(fc.nat(0xffff_ffff), fc.nat(1)),
    driver: fc.tuple(fc.nat(0x10_0000), fc.nat(1)),
    device: fc.tuple(fc.nat(0x10_0000), fc.nat(1)),
    nextAvailable: fc.nat(0xffff),
    nextUsed: fc.nat(0xffff),
  });
  const transport = fc.record({
    deviceType: fc.constantFrom(42, 2),
    status: fc.oneof(fc.constantFrom(0, 3, 11, 15, 79, 143), fc.nat(300)),
    interruptStatus: fc.nat(4),
    configGeneration: fc.nat(0xffff_ffff),
    selected: fc.record({
      deviceFeatures: fc.nat(2),
      driverFeatures: fc.nat(2),
      queue: fc.nat(0xffff_ffff),
      sharedRegion: fc.nat(3),
    }),
    driverFeatures: fc.tuple(fc.constantFrom(0, 8, 0xffff_ffff), fc.nat(1)),
    queues: fc.array(
      queue.map((state) => ({ ...state, nextUsed: state.nextAvailable })),
      { maxLength: 3 },
    ),
  });
  const encoded = fc.oneof(
    fc.uint8Array({ maxLength: 100 }),
    fc.json().map((text) => new TextEncoder().encode(text)),
    transport.map((state) => new TextEncoder().encode(JSON.stringify(state))),
  );
  fuzz(
    fc.property(encoded, (bytes) => {
      for (const codec of [vsockStateCodec, balloonStateCodec, serialStateCodec])
        allow(["SNAPSHOT_INVALID"], () => void codec.parse(bytes));
      allow(["SNAPSHOT_INVALID", "SNAPSHOT_MISMATCH"], () => {
        const it = deviceRig(new EchoDevice());
        it.host.restore(transportStateCodec.parse(bytes));
        it.host.notify(0);
      });
    }),
    { share: 0.25 },
  );
});

test("the serial port: any accesses of any width, on any state that the codec lets through", () => {
  const access = fc.record({
    offset: fc.nat(9),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 8 }),
    isRead: fc.boolean(),
  });
  fuzz(
    fc.property(
      fc.array(access, { maxLength: 60 }),
      fc.uint8Array({ maxLength: 2000 }),
      (accesses, input) => {
        const state = new Int32Array(serialStateWords);
        resetSerialState(state);
        let bytesOut = 0;
        const port = new SerialPort({
          state,
          output: (byte) => {
            assert.ok(byte >= 0 && byte <= 255);
            bytesOut++;
          },
          interrupt: { pulse: () => {} },
        });
        assert.ok(port.receive(input) <= input.length);
        for (const { offset, bytes, isRead } of accesses) {
          if (isRead) port.read(offset, bytes);
          else port.write(offset, bytes);
        }
        assert.ok(bytesOut <= accesses.length);
        serialStateCodec.parse(serialStateCodec.encode(state));
      },
    ),
    { share: 0.2 },
  );
});

/** Two small kernels, good enough to be taken, each with the offset up to which its bytes are worth changing. */
function kernels(): Uint8Array[] {
  const elf = new Uint8Array(0x1010);
  const elfView = new DataView(elf.buffer);
  elf.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  elfView.setUint16(18, 62, true);
  elfView.setUint32(24, 0x10_0004, true);
  elfView.setUint32(32, 64, true);
  elfView.setUint16(54, 56, true);
  elfView.setUint16(56, 1, true);
  elfView.setUint32(64, 1, true);
  elfView.setUint32(72, 0x1000, true);
  elfView.setUint32(88, 0x10_0000, true);
  elfView.setUint32(96, 16, true);
  elfView.setUint32(104, 32, true);
  const bzImage = new Uint8Array(2048);
  const view = new DataView(bzImage.buffer);
  view.setUint8(0x1f1, 1);
  view.setUint8(0x201, 0x6a);
  view.setUint32(0x202, 0x5372_6448, true);
  view.setUint16(0x206, 0x020f, true);
  view.setUint16(0x236, 1, true);
  view.setUint32(0x258, 0x10_0000, true);
  view.setUint32(0x260, 8192, true);
  return [elf, bzImage];
}

test("the kernel loaders: a damaged ELF file or bzImage is loaded inside the memory, or refused", () => {
  const place = fc.oneof(fc.nat(120), fc.integer({ min: 0x1f0, max: 0x268 }));
  const change = fc.record({
    at: place,
    value: fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 0x7f, 0x80, 0xff)),
  });
  fuzz(
    fc.property(fc.nat(1), fc.array(change, { maxLength: 12 }), fc.nat(0x1010), (which, changes, length) => {
      const bytes = kernels()[which] ?? assert.fail();
      for (const { at, value } of changes) bytes[at] = value;
      const image = length % 4 === 0 ? bytes.subarray(0, length) : bytes;
      const memory = new HeapMemory([{ start: gpa(0), length: 0x20_0000 }]);
      allow(["KERNEL_NOT_FOUND"], () => {
        const kernel = loadKernel(memory, {
          name: "kernel",
          length: image.length,
          read(position, into) {
            assert.ok(position >= 0 && position + into.length <= image.length, "read outside the file");
            into.set(image.subarray(position, position + into.length));
          },
        });
        assert.ok(Number.isSafeInteger(kernel.entry) && Number.isSafeInteger(kernel.end));
      });
    }),
    { share: 0.3 },
  );
});
