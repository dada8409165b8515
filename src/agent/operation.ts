import { SupermachineError } from "../errors/supermachine-error.ts";
import { ByteQueue } from "../streams/byte-queue.ts";
import { type Deferred, deferred } from "../streams/deferred.ts";
import { type Attempt, readOutcome } from "./failures.ts";
import type { Frame } from "./frames.ts";
import type { AgentLink, LinkStream, StreamListener } from "./link.ts";
import { Channel, FrameType, INITIAL_CREDIT_BYTES, MAX_PAYLOAD_BYTES } from "./protocol.ts";
import type { ValueReader } from "./values.ts";

/** Credit is returned in steps of this size: few frames, as each interrupts the guest, and the sender still never runs dry. */
const CREDIT_STEP_BYTES = INITIAL_CREDIT_BYTES / 2;

/** What to ask, and how to read the answer. */
export interface OperationPlan<T> extends Attempt {
  readonly request: Uint8Array;
  decode(reader: ValueReader): T;
  /** Leaving an output loop early cancels the whole operation (files), instead of dropping the rest (commands). */
  readonly cancelWhenAbandoned?: boolean;
}

/** One operation in the guest as the host sees it: input, two outputs, a start and a result. */
export class Operation<T> implements StreamListener {
  readonly #plan: OperationPlan<T>;
  readonly #stream: LinkStream;
  readonly #started = deferred<number>();
  readonly #result = deferred<T>();
  readonly #outputs: readonly [OutputChannel, OutputChannel];
  #writeChain: Promise<void> = Promise.resolve();
  #creditWaiter: Deferred<void> | undefined;
  /** Makes the error that says why no more input is taken; undefined as long as it is. Few ask, and an error takes long to make. */
  #inputError: (() => Error) | undefined;
  #hasStarted = false;
  #cancelled = false;

  /** The number that the guest's STARTED carries. */
  readonly started: Promise<number> = this.#started.promise;
  readonly result: Promise<T> = this.#result.promise;

  constructor(link: AgentLink, plan: OperationPlan<T>) {
    this.#plan = plan;
    this.#outputs = [this.#output(Channel.OUTPUT), this.#output(Channel.ERROR)];
    this.#stream = link.open(plan.request, this);
  }

  get output(): ByteQueue {
    return this.#outputs[0].queue;
  }

  get errorOutput(): ByteQueue {
    return this.#outputs[1].queue;
  }

  /** Resolves when the bytes may be forgotten; writes are sent in the order of the calls. */
  write(bytes: Uint8Array): Promise<void> {
    return this.#chain(() => this.#write(bytes));
  }

  /** Ends the input after everything written before. */
  endInput(): Promise<void> {
    return this.#chain(async () => {
      if (this.#inputError !== undefined) return;
      this.#inputError = () => new SupermachineError("INVALID_ARGUMENT", "The input was already ended");
      await this.#stream.send(FrameType.EOF, Channel.INPUT);
    });
  }

  /** Sends SIGNAL or RESIZE. */
  control(type: FrameType, payload: Uint8Array): void {
    void this.#stream.send(type, 0, payload);
  }

  cancel(): void {
    if (this.#cancelled || !this.#stream.isOpen) return;
    this.#cancelled = true;
    void this.#stream.send(FrameType.CANCEL, 0);
    this.#finish(new SupermachineError("ABORTED", `Gave up: ${this.#plan.description}`));
    for (const { queue } of this.#outputs) queue.drop();
  }

  onFrame(frame: Frame): void {
    switch (frame.type) {
      case FrameType.DATA:
        // After a cancel nothing is granted any more, so what still arrives is bounded by the credit already given.
        if (!this.#cancelled) this.#channel(frame.channel).queue.push(frame.payload);
        break;
      case FrameType.EOF:
        this.#channel(frame.channel).queue.end();
        break;
      case FrameType.CREDIT:
        this.#wakeWriter();
        break;
      case FrameType.STARTED:
        this.#hasStarted = true;
        this.#started.resolve(
          new DataView(frame.payload.buffer, frame.payload.byteOffset).getUint32(0, true),
        );
        break;
      case FrameType.INPUT_CLOSED:
        this.#closeInput("was closed");
        break;
      default:
        this.#end(frame.payload);
    }
  }

  onLost(error: Error): void {
    this.#finish(error);
  }

  #end(payload: Uint8Array): void {
    try {
      this.#done(payload);
    } catch (error) {
      // A broken result is a broken agent: passed on, it ends the whole connection.
      if (error instanceof SupermachineError) this.#finish(error);
      throw error;
    }
  }

  #done(payload: Uint8Array): void {
    const outcome = readOutcome(payload, this.#plan);
    if (outcome instanceof SupermachineError) {
      if (outcome.code === "AGENT_PROTOCOL") throw outcome;
      this.#finish(outcome);
      return;
    }
    const value = this.#plan.decode(outcome);
    if (!this.#hasStarted)
      this.#started.reject(new SupermachineError("AGENT_PROTOCOL", "The operation ended before it started"));
    this.#closeInput("is no more, as it has ended");
    for (const { queue } of this.#outputs) queue.end();
    this.#result.resolve(value);
  }

  #closeInput(how: string): void {
    const { code, description } = this.#plan;
    this.#inputError ??= () =>
      new SupermachineError(code, `The input of '${description}' ${how}`, { data: { errno: "EPIPE" } });
    this.#wakeWriter();
  }

  #finish(error: Error): void {
    this.#inputError = () => error;
    this.#wakeWriter();
    this.#started.reject(error);
    for (const { queue } of this.#outputs) queue.fail(error);
    this.#result.reject(error);
  }

  async #write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      if (this.#inputError !== undefined) throw this.#inputError();
      const room = Math.min(this.#stream.inputCredit, MAX_PAYLOAD_BYTES, bytes.length - at);
      if (room === 0) {
        this.#creditWaiter = deferred();
        await this.#creditWaiter.promise;
        continue;
      }
      await this.#stream.send(FrameType.DATA, Channel.INPUT, bytes.subarray(at, at + room));
      at += room;
    }
    if (this.#inputError !== undefined) throw this.#inputError();
  }

  #chain(step: () => Promise<void>): Promise<void> {
    const done = this.#writeChain.then(step);
    this.#writeChain = done.catch(() => {});
    return done;
  }

  #wakeWriter(): void {
    this.#creditWaiter?.resolve();
    this.#creditWaiter = undefined;
  }

  #channel(channel: number): OutputChannel {
    return this.#outputs[channel === Channel.OUTPUT ? 0 : 1];
  }

  #output(channel: number): OutputChannel {
    const output = new OutputChannel(
      (bytes) => this.#grant(channel, bytes),
      () => {
        if (this.#plan.cancelWhenAbandoned === true) this.cancel();
      },
    );
    return output;
  }

  #grant(channel: number, bytes: number): Promise<void> {
    const payload = new Uint8Array(4);
    new DataView(payload.buffer).setUint32(0, bytes, true);
    return this.#cancelled ? Promise.resolve() : this.#stream.send(FrameType.CREDIT, channel, payload);
  }
}

/** A queue of output, and the credit that reading it returns to the guest. */
class OutputChannel {
  readonly queue: ByteQueue;
  readonly #grant: (bytes: number) => Promise<void>;
  #owed = 0;
  #granting = false;

  constructor(grant: (bytes: number) => Promise<void>, abandoned: () => void) {
    this.#grant = grant;
    this.queue = new ByteQueue({ taken: (bytes) => this.#taken(bytes), abandoned });
  }

  #taken(bytes: number): void {
    this.#owed += bytes;
    void this.#settle();
  }

  /** One CREDIT frame under way at a time: a guest that does not read cannot make them pile up here. */
  async #settle(): Promise<void> {
    if (this.#granting) return;
    this.#granting = true;
    while (this.#owed >= CREDIT_STEP_BYTES) {
      const bytes = this.#owed;
      this.#owed = 0;
      await this.#grant(bytes);
    }
    this.#granting = false;
  }
}
