import { SupermachineError } from "../errors/supermachine-error.ts";
import { encodeFrame, type Frame, FrameDecoder, readCredit } from "./frames.ts";
import type { AgentLink } from "./link.ts";
import { asksToPark } from "./messages.ts";
import { encodePreamble, PreambleScanner } from "./preamble.ts";
import {
  Failure,
  FrameType,
  INITIAL_CREDIT_BYTES,
  MAX_REQUEST_BYTES,
  Operation,
  Outcome,
  PROTOCOL_VERSION,
  RequestPart,
} from "./protocol.ts";
import type { AgentTransport } from "./requests.ts";
import { RoutedStream } from "./routed-stream.ts";
import { ValueWriter } from "./values.ts";

/** Operations that one client may have under way; fewer than the agent allows all of them together. */
const MAX_CLIENT_STREAMS = 256;
/** Requests that a client has begun and not finished, all together. */
const MAX_PENDING_BYTES = 2 * MAX_REQUEST_BYTES;
/** What waits for a client that does not read, before it is dropped. Its streams' credit bounds the honest ones. */
const MAX_BACKLOG_BYTES: number = 64 << 20;

const EAGAIN = 11;

/** They concern everybody in the machine; the speaker at the other end of the link has them for itself. */
const ownersOperations: ReadonlySet<number> = new Set([
  Operation.SETUP,
  Operation.FREEZE,
  Operation.RENEW,
  Operation.THAW,
  Operation.ADOPT,
  Operation.RECLAIM,
]);

/** One client of a router: speaks the agent's side of the protocol, on streams of the shared link. */
export class RoutedClient {
  readonly #link: AgentLink;
  readonly #transport: AgentTransport;
  readonly #streams = new Map<number, RoutedStream>();
  /** Requests of which more frames are to come. */
  readonly #pending = new Map<number, ValueWriter>();
  #pendingBytes = 0;
  #backlogBytes = 0;
  #closed = false;

  /** Resolves when the client is gone; never rejects. */
  readonly served: Promise<void>;

  constructor(link: AgentLink, transport: AgentTransport) {
    this.#link = link;
    this.#transport = transport;
    this.served = this.#serve().catch(() => this.close());
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#transport.close();
    for (const stream of this.#streams.values()) stream.abandon();
    this.#streams.clear();
    this.#pending.clear();
  }

  async #serve(): Promise<void> {
    const scanner = new PreambleScanner();
    let decoder: FrameDecoder | undefined;
    let frames: Frame[] = [];
    for await (const chunk of this.#transport.incoming) {
      let rest = chunk;
      if (decoder === undefined) {
        const found = scanner.push(chunk);
        if (found === undefined) continue;
        const { version, nonce } = found.preamble;
        await this.#transport.send(encodePreamble({ version: PROTOCOL_VERSION, nonce }));
        if (version !== PROTOCOL_VERSION) break;
        decoder = new FrameDecoder("host");
        rest = found.rest;
      }
      decoder.push(rest, (frame) => frames.push(frame));
      // One after the other: a guest that is slow to take input slows this client, and only this one.
      for (const frame of frames) {
        if (this.#closed) return;
        await this.#accept(frame);
      }
      frames = [];
    }
    this.close();
  }

  async #accept(frame: Frame): Promise<void> {
    if (frame.type === FrameType.REQUEST) return this.#request(frame);
    if (this.#pending.has(frame.stream)) throw violated("is inside a request");
    const stream = this.#streams.get(frame.stream);
    // Frames for a stream that has just ended were under way when it did.
    if (stream === undefined) return;
    const { upstream } = stream;
    if (frame.type === FrameType.DATA || frame.type === FrameType.EOF) {
      if (stream.inputEnded) throw violated("follows the end of the input");
      if (frame.payload.length > upstream.inputCredit) throw violated("exceeds the credit of the input");
      stream.inputEnded = frame.type === FrameType.EOF;
    } else if (frame.type === FrameType.CREDIT) {
      if (upstream.receivable(frame.channel) + readCredit(frame) > INITIAL_CREDIT_BYTES)
        throw violated("grants more credit than was used");
    }
    await upstream.send(frame.type, frame.channel, frame.payload);
  }

  /** Requests are passed on whole, so that half of one never waits in the agent. */
  #request(frame: Frame): void {
    const id = frame.stream;
    if (id === 0 || this.#streams.has(id)) throw violated("opens a stream that is open");
    const pending = this.#pending.get(id) ?? new ValueWriter();
    this.#pendingBytes += frame.payload.length;
    if (this.#pendingBytes > MAX_PENDING_BYTES) throw violated("makes a request too long");
    this.#pending.set(id, pending.raw(frame.payload));
    if (frame.channel === RequestPart.MORE) return;
    this.#pending.delete(id);
    const request = pending.finish();
    this.#pendingBytes -= request.length;
    if (request.length > MAX_REQUEST_BYTES) throw violated("makes a request too long");
    if (request[0] !== undefined && ownersOperations.has(request[0]))
      throw violated("asks what only the machine's owner may ask");
    if (request[0] === Operation.EXEC && asksToPark(request))
      throw violated("starts a command that would outlive its client");
    try {
      if (this.#streams.size >= MAX_CLIENT_STREAMS) throw new RangeError("Too many streams");
      const stream = new RoutedStream(this.#link, request, {
        frame: (sent) => this.#forward({ ...sent, stream: id }),
        lost: () => this.close(),
      });
      this.#streams.set(id, stream);
    } catch {
      this.#refuse(id);
    }
  }

  /** EAGAIN, as the agent itself would answer. */
  #refuse(id: number): void {
    const payload = new ValueWriter()
      .u8(Outcome.FAILED)
      .u8(Failure.SYSTEM)
      .u32(EAGAIN)
      .string("too many operations at once");
    this.#forward({ stream: id, type: FrameType.DONE, channel: 0, payload: payload.finish() });
  }

  /** Never waits: the link serves others, too. */
  #forward(frame: Frame): void {
    if (this.#closed) return;
    if (frame.type === FrameType.DONE) this.#streams.delete(frame.stream);
    const bytes = encodeFrame(frame);
    this.#backlogBytes += bytes.length;
    if (this.#backlogBytes > MAX_BACKLOG_BYTES) {
      this.close();
      return;
    }
    this.#transport.send(bytes).then(
      () => {
        this.#backlogBytes -= bytes.length;
      },
      () => this.close(),
    );
  }
}

function violated(what: string): SupermachineError {
  return new SupermachineError("AGENT_PROTOCOL", `A frame of a client ${what}`);
}
