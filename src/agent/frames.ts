import { SupermachineError } from "../errors/supermachine-error.ts";
import { Channel, type FrameSender, FrameType, HEADER_BYTES, MAX_PAYLOAD_BYTES } from "./protocol.ts";

/** One frame of the protocol. `payload` may share memory with the bytes it was decoded from. */
export interface Frame {
  readonly stream: number;
  readonly type: FrameType;
  /** Which data channel; for REQUEST whether more frames follow; 0 otherwise. */
  readonly channel: number;
  readonly payload: Uint8Array;
}

/** Header and payload in one buffer, ready to send. */
export function encodeFrame(frame: Frame): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + frame.payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, frame.payload.length, true);
  view.setUint32(4, frame.stream, true);
  bytes[8] = frame.type;
  bytes[9] = frame.channel;
  bytes.set(frame.payload, HEADER_BYTES);
  return bytes;
}

/**
 * Cuts a byte stream into frames, however it is split, and refuses what `sender` may not send. It holds at most one
 * unfinished frame. After it threw it must not be used again.
 */
export class FrameDecoder {
  readonly #sender: FrameSender;
  readonly #header = new Uint8Array(HEADER_BYTES);
  #headerFilled = 0;
  #payload: Uint8Array | undefined;
  #payloadFilled = 0;

  constructor(sender: FrameSender) {
    this.#sender = sender;
  }

  /** Throws AGENT_PROTOCOL on the first frame that breaks the rules; frames before it have been handed over. */
  push(chunk: Uint8Array, onFrame: (frame: Frame) => void): void {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#payload === undefined) {
        const taken = Math.min(HEADER_BYTES - this.#headerFilled, rest.length);
        this.#header.set(rest.subarray(0, taken), this.#headerFilled);
        this.#headerFilled += taken;
        rest = rest.subarray(taken);
        if (this.#headerFilled < HEADER_BYTES) return;
        const length = checkHeader(this.#header, this.#sender);
        if (rest.length >= length) {
          // The common case: the payload lies whole in this chunk and needs no copy.
          this.#finish(rest.subarray(0, length), onFrame);
          rest = rest.subarray(length);
          continue;
        }
        this.#payload = new Uint8Array(length);
        this.#payloadFilled = 0;
      }
      const taken = Math.min(this.#payload.length - this.#payloadFilled, rest.length);
      this.#payload.set(rest.subarray(0, taken), this.#payloadFilled);
      this.#payloadFilled += taken;
      rest = rest.subarray(taken);
      if (this.#payloadFilled === this.#payload.length) this.#finish(this.#payload, onFrame);
    }
  }

  #finish(payload: Uint8Array, onFrame: (frame: Frame) => void): void {
    const view = new DataView(this.#header.buffer);
    const frame: Frame = {
      stream: view.getUint32(4, true),
      type: view.getUint8(8) as FrameType,
      channel: view.getUint8(9),
      payload,
    };
    this.#payload = undefined;
    this.#headerFilled = 0;
    if (frame.type === FrameType.CREDIT && readCredit(frame) === 0) throw refused("grants no credit");
    onFrame(frame);
  }
}

/** The bytes that a CREDIT frame grants. */
export function readCredit(frame: Frame): number {
  return new DataView(frame.payload.buffer, frame.payload.byteOffset, 4).getUint32(0, true);
}

interface Shape {
  readonly min: number;
  readonly max: number;
  readonly channels: readonly number[];
}

const output = [Channel.OUTPUT, Channel.ERROR];
const input = [Channel.INPUT];
const data = { min: 1, max: MAX_PAYLOAD_BYTES };

/** Everything each side may send: type, payload length, channels. */
const shapes: Readonly<Record<FrameSender, ReadonlyMap<number, Shape>>> = {
  host: new Map<number, Shape>([
    [FrameType.REQUEST, { ...data, channels: [0, 1] }],
    [FrameType.DATA, { ...data, channels: input }],
    [FrameType.EOF, { min: 0, max: 0, channels: input }],
    [FrameType.CREDIT, { min: 4, max: 4, channels: output }],
    [FrameType.SIGNAL, { min: 4, max: 4, channels: [0] }],
    [FrameType.RESIZE, { min: 4, max: 4, channels: [0] }],
    [FrameType.CANCEL, { min: 0, max: 0, channels: [0] }],
  ]),
  guest: new Map<number, Shape>([
    [FrameType.DATA, { ...data, channels: output }],
    [FrameType.EOF, { min: 0, max: 0, channels: output }],
    [FrameType.CREDIT, { min: 4, max: 4, channels: input }],
    [FrameType.STARTED, { min: 4, max: 4, channels: [0] }],
    [FrameType.DONE, { ...data, channels: [0] }],
    [FrameType.INPUT_CLOSED, { min: 0, max: 0, channels: [0] }],
  ]),
};

function checkHeader(header: Uint8Array, sender: FrameSender): number {
  const view = new DataView(header.buffer);
  const length = view.getUint32(0, true);
  const type = view.getUint8(8);
  const channel = view.getUint8(9);
  const shape = shapes[sender].get(type);
  if (shape === undefined) throw refused(`has unknown type ${type}`);
  if (length < shape.min || length > shape.max) throw refused(`of type ${type} has length ${length}`);
  if (!shape.channels.includes(channel)) throw refused(`of type ${type} names channel ${channel}`);
  if (view.getUint16(10, true) !== 0) throw refused("has reserved bits set");
  return length;
}

function refused(what: string): SupermachineError {
  return new SupermachineError("AGENT_PROTOCOL", `A frame on the agent connection ${what}`);
}
