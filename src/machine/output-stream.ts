import { SupermachineError } from "../errors/supermachine-error.ts";
import { concatenate } from "../streams/concatenate.ts";

/**
 * One output stream of a command. Nothing is read, and the command waits, until the stream is either collected for the
 * result or taken by the caller's `for await`. A caller who takes it while it is being collected gets everything from
 * the start.
 */
export class OutputStream implements AsyncIterable<Uint8Array> {
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #options: OutputStreamOptions;
  readonly #chunks: Uint8Array[] = [];
  #length = 0;
  #collecting: Promise<void> | undefined;
  #taken = false;

  constructor(source: AsyncIterable<Uint8Array>, options: OutputStreamOptions) {
    this.#source = source[Symbol.asyncIterator]();
    this.#options = options;
  }

  /** True once the caller reads it. */
  get taken(): boolean {
    return this.#taken;
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    if (this.#taken) throw new TypeError(`The command's ${this.#options.name} is already being read`);
    this.#taken = true;
    this.#options.onTaken();
    return this.#read();
  }

  /** Reads to the end and returns everything; empty once the caller has taken the stream. */
  async collect(): Promise<Uint8Array> {
    if (!this.#taken) await this.startCollecting();
    return this.#taken ? new Uint8Array(0) : concatenate(this.#chunks, this.#length);
  }

  /** Starts to read into memory, so that the command can go on although nobody has asked for this stream yet. */
  startCollecting(): Promise<void> {
    this.#collecting ??= this.#taken ? Promise.resolve() : this.#fill();
    return this.#collecting;
  }

  async #fill(): Promise<void> {
    while (!this.#taken) {
      const next = await this.#source.next();
      if (next.done === true) return;
      this.#chunks.push(next.value);
      this.#length += next.value.length;
      const { limit, name } = this.#options;
      if (this.#length > limit && !this.#taken) {
        const error = new SupermachineError(
          "OUTPUT_LIMIT",
          `The command's ${name} is longer than ${limit} bytes`,
          { hint: `Read execution.${name} while the command runs, or raise maxOutputBytes` },
        );
        this.#options.onOverflow(error);
        throw error;
      }
    }
  }

  async *#read(): AsyncGenerator<Uint8Array> {
    try {
      // What was collected so far comes first; #fill ends with the chunk it waits for, because the stream is taken now.
      while (this.#collecting !== undefined) {
        yield* this.#drain();
        const collecting = this.#collecting;
        await collecting;
        this.#collecting = undefined;
      }
      yield* this.#drain();
      for (;;) {
        const next = await this.#source.next();
        if (next.done === true) return;
        yield next.value;
      }
    } catch (error) {
      throw await this.#options.explain(error);
    } finally {
      await this.#source.return?.();
    }
  }

  *#drain(): Generator<Uint8Array> {
    for (let chunk = this.#chunks.shift(); chunk !== undefined; chunk = this.#chunks.shift()) yield chunk;
  }
}

export interface OutputStreamOptions {
  readonly name: "stdout" | "stderr";
  /** Bytes that may be collected. */
  readonly limit: number;
  onTaken(): void;
  onOverflow(error: Error): void;
  explain(error: unknown): Promise<Error>;
}
