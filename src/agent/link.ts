import { SupermachineError } from "../errors/supermachine-error.ts";
import { deferred } from "../streams/deferred.ts";
import { encodeFrame, type Frame, FrameDecoder, readCredit } from "./frames.ts";
import { checkVersion, encodePreamble, PreambleScanner, randomNonce } from "./preamble.ts";
import {
  Channel,
  FrameType,
  INITIAL_CREDIT_BYTES,
  MAX_PAYLOAD_BYTES,
  MAX_STREAMS,
  PROTOCOL_VERSION,
  RequestPart,
} from "./protocol.ts";
import type { AgentTransport } from "./requests.ts";

/** Receives the frames of one stream, already checked against the protocol. DONE is the last. */
export interface StreamListener {
  onFrame(frame: Frame): void;
  /** The connection is gone; nothing follows. */
  onLost(error: Error): void;
}

export interface AgentLinkOptions {
  /** Told how many operations are under way, whenever that has changed. */
  readonly onOperations?: ((underWay: number) => void) | undefined;
}

const nothing = new Uint8Array(0);

/**
 * One connection to an agent: version check, frames, stream numbers and the credit of every stream. The guest is not
 * trusted: whatever the protocol does not allow ends the connection with AGENT_PROTOCOL.
 */
export class AgentLink {
  readonly #transport: AgentTransport;
  readonly #streams = new Map<number, LinkStream>();
  readonly #closed = deferred<Error>();
  readonly #onOperations: (underWay: number) => void;
  #lost: Error | undefined;
  #lastId = 0;

  /** Resolves with the reason when the connection is gone. */
  readonly closed: Promise<Error> = this.#closed.promise;

  private constructor(transport: AgentTransport, { onOperations = () => {} }: AgentLinkOptions) {
    this.#transport = transport;
    this.#onOperations = onOperations;
  }

  /**
   * Says hello and waits for the agent's answer. There is no time limit here: close the transport to give up, and
   * the promise rejects.
   */
  static async connect(transport: AgentTransport, options: AgentLinkOptions = {}): Promise<AgentLink> {
    const nonce = randomNonce();
    const scanner = new PreambleScanner(nonce);
    const incoming = transport.incoming[Symbol.asyncIterator]();
    try {
      await transport.send(encodePreamble({ version: PROTOCOL_VERSION, nonce }));
      for (;;) {
        const next = await incoming.next();
        if (next.done === true)
          throw new SupermachineError("MACHINE_EXITED", "The connection to the guest agent ended");
        const found = scanner.push(next.value);
        if (found === undefined) continue;
        checkVersion(found.preamble);
        const link = new AgentLink(transport, options);
        void link.#receive(incoming, found.rest);
        return link;
      }
    } catch (error) {
      transport.close();
      throw isOurs(error) ? error : connectionLost(error);
    }
  }

  /** Starts an operation; `request` is split into as many frames as it needs. */
  open(request: Uint8Array, listener: StreamListener): LinkStream {
    const stream = this.#add(listener);
    for (let at = 0; at < request.length; at += MAX_PAYLOAD_BYTES) {
      const part = at + MAX_PAYLOAD_BYTES < request.length ? RequestPart.MORE : RequestPart.LAST;
      void stream.send(FrameType.REQUEST, part, request.subarray(at, at + MAX_PAYLOAD_BYTES));
    }
    return stream;
  }

  /** What is under way fails with the reason. */
  close(
    reason: Error = new SupermachineError("ABORTED", "The connection to the guest agent was closed"),
  ): void {
    this.#lose(reason);
  }

  #add(listener: StreamListener): LinkStream {
    if (this.#lost !== undefined) throw this.#lost;
    if (this.#streams.size >= MAX_STREAMS)
      throw new SupermachineError(
        "UNSUPPORTED",
        `More than ${MAX_STREAMS} operations at once in one machine`,
      );
    do this.#lastId = (this.#lastId + 1) >>> 0;
    while (this.#lastId === 0 || this.#streams.has(this.#lastId));
    const stream = new LinkStream(this.#lastId, listener, (frame) => this.#send(frame));
    this.#streams.set(stream.id, stream);
    this.#onOperations(this.#streams.size);
    return stream;
  }

  async #send(frame: Frame): Promise<void> {
    if (this.#lost !== undefined) throw this.#lost;
    try {
      await this.#transport.send(encodeFrame(frame));
    } catch (error) {
      throw this.#lose(connectionLost(error));
    }
  }

  async #receive(incoming: AsyncIterator<Uint8Array>, first: Uint8Array): Promise<void> {
    const decoder = new FrameDecoder("guest");
    const onFrame = (frame: Frame): void => this.#accept(frame);
    try {
      decoder.push(first, onFrame);
      while (this.#lost === undefined) {
        const next = await incoming.next();
        if (next.done === true) throw connectionLost(undefined);
        decoder.push(next.value, onFrame);
      }
    } catch (error) {
      this.#lose(isOurs(error) ? error : connectionLost(error));
    }
  }

  #accept(frame: Frame): void {
    if (this.#lost !== undefined) return;
    const stream = this.#streams.get(frame.stream);
    if (stream === undefined) throw violated("names a stream that is not open", frame);
    if (frame.type === FrameType.DONE) this.#streams.delete(frame.stream);
    stream.accept(frame);
    if (frame.type === FrameType.DONE) this.#onOperations(this.#streams.size);
  }

  #lose(error: Error): Error {
    if (this.#lost !== undefined) return this.#lost;
    this.#lost = error;
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    this.#transport.close();
    for (const stream of streams) stream.lose(error);
    if (streams.length > 0) this.#onOperations(0);
    this.#closed.resolve(error);
    return error;
  }
}

/** One stream of a link: what each side may still send on it. */
export class LinkStream {
  readonly id: number;
  readonly #listener: StreamListener;
  readonly #sendFrame: (frame: Frame) => Promise<void>;
  readonly #receivable: [number, number, number] = [0, INITIAL_CREDIT_BYTES, INITIAL_CREDIT_BYTES];
  readonly #ended: [boolean, boolean, boolean] = [true, false, false];
  #started = false;
  #inputClosed = false;
  #inputCredit = INITIAL_CREDIT_BYTES;
  #open = true;

  constructor(id: number, listener: StreamListener, sendFrame: (frame: Frame) => Promise<void>) {
    this.id = id;
    this.#listener = listener;
    this.#sendFrame = sendFrame;
  }

  /** Bytes of input that the guest is ready to take. */
  get inputCredit(): number {
    return this.#inputCredit;
  }

  /** False once DONE has arrived or the connection is lost. */
  get isOpen(): boolean {
    return this.#open;
  }

  /** Bytes of output that may still arrive on a channel. */
  receivable(channel: number): number {
    return this.#receivable[channel] ?? 0;
  }

  /**
   * Sends one frame, in call order. Resolves when more may be sent; a failure is reported through `onLost`, so the
   * promise does not reject. After the end it does nothing.
   */
  async send(type: FrameType, channel: number, payload: Uint8Array = nothing): Promise<void> {
    if (!this.#open) return;
    if (type === FrameType.DATA) this.#inputCredit -= payload.length;
    const frame: Frame = { stream: this.id, type, channel, payload };
    if (type === FrameType.CREDIT) this.#receivable[channel === 1 ? 1 : 2] += readCredit(frame);
    try {
      await this.#sendFrame(frame);
    } catch {
      // `lose` tells the listener why.
    }
  }

  /** For the link: checks a frame from the guest and hands it on. */
  accept(frame: Frame): void {
    const { channel, type, payload } = frame;
    if (type === FrameType.DATA || type === FrameType.EOF) {
      if (this.#ended[channel] !== false) throw violated("follows the end of its channel", frame);
      const side = channel === Channel.OUTPUT ? 1 : 2;
      if (type === FrameType.EOF) this.#ended[side] = true;
      this.#receivable[side] -= payload.length;
      if (this.#receivable[side] < 0) throw violated("exceeds the credit of its channel", frame);
    } else if (type === FrameType.CREDIT) {
      this.#inputCredit += readCredit(frame);
      if (this.#inputCredit > INITIAL_CREDIT_BYTES) throw violated("grants more credit than was used", frame);
    } else if (type === FrameType.STARTED) {
      if (this.#started) throw violated("repeats STARTED", frame);
      this.#started = true;
    } else if (type === FrameType.INPUT_CLOSED) {
      if (this.#inputClosed) throw violated("repeats INPUT_CLOSED", frame);
      this.#inputClosed = true;
    } else {
      this.#open = false;
    }
    this.#listener.onFrame(frame);
  }

  /** For the link: the connection is gone. */
  lose(error: Error): void {
    this.#open = false;
    this.#listener.onLost(error);
  }
}

function violated(what: string, frame: Frame): SupermachineError {
  return new SupermachineError("AGENT_PROTOCOL", `A frame of the guest agent ${what}`, {
    data: { stream: frame.stream, type: frame.type },
  });
}

/** What the transport itself throws (ECONNRESET of a dying engine, a driver that goes away) only says that it is gone. */
function isOurs(error: unknown): error is SupermachineError {
  return error instanceof SupermachineError && ["AGENT_PROTOCOL", "MACHINE_EXITED"].includes(error.code);
}

function connectionLost(cause: unknown): SupermachineError {
  return new SupermachineError("MACHINE_EXITED", "The connection to the guest agent ended", { cause });
}
