import type { ByteSink, ByteSource, ByteString } from "../tree.ts";

/** Large enough that the cost of a sink's write is small beside its bytes, small enough to stay in a CPU cache. */
const bufferLength = 1 << 20;
/** Gaps below this are written as zeros: two writes would cost more. Longer ones are left out of the sink's writes. */
const leastHole = 64 << 10;

/** Collects the image's bytes in order and hands them to the sink in large pieces. */
export class ImageWriter {
  readonly view: DataView;
  readonly #bytes = new Uint8Array(bufferLength);
  readonly #sink: ByteSink;
  readonly #onFlush: ((position: number) => void) | undefined;
  /** Where in the image the buffer's first byte belongs. */
  #start = 0;
  #used = 0;

  constructor(sink: ByteSink, onFlush?: (position: number) => void) {
    this.#sink = sink;
    this.#onFlush = onFlush;
    this.view = new DataView(this.#bytes.buffer);
  }

  /** Where in the image the next byte goes. */
  get position(): number {
    return this.#start + this.#used;
  }

  /** Takes the next `length` bytes (at most 1 MiB), zeroed, and returns where they begin in `view`. */
  claim(length: number): number {
    if (length > bufferLength - this.#used) this.flush();
    const at = this.#used;
    this.#used += length;
    this.#bytes.fill(0, at, this.#used);
    return at;
  }

  /** Puts a byte string into claimed bytes. */
  setBytes(at: number, text: ByteString): void {
    const bytes = this.#bytes;
    for (let index = 0; index < text.length; index++) bytes[at + index] = text.charCodeAt(index);
  }

  /** Puts bytes into claimed bytes. */
  set(at: number, bytes: Uint8Array): void {
    this.#bytes.set(bytes, at);
  }

  /** Appends bytes straight from a source. */
  copy(source: ByteSource, position: number, length: number): void {
    for (let done = 0; done < length; ) {
      if (this.#used === bufferLength) this.flush();
      const part = Math.min(length - done, bufferLength - this.#used);
      source.read(position + done, this.#bytes.subarray(this.#used, this.#used + part));
      this.#used += part;
      done += part;
    }
  }

  /** Moves on to a later position; what is between reads as zeros. */
  advanceTo(position: number): void {
    const gap = position - this.position;
    if (gap < 0) throw new RangeError(`Cannot write at ${position}: ${this.position} bytes are written`);
    if (gap < leastHole) this.claim(gap);
    else {
      this.flush();
      this.#start = position;
    }
  }

  flush(): void {
    if (this.#used === 0) return;
    this.#sink.write(this.#start, this.#bytes.subarray(0, this.#used));
    this.#start += this.#used;
    this.#used = 0;
    this.#onFlush?.(this.#start);
  }

  /** Writes everything; the image's last byte is always written, so that the sink knows its length. */
  finish(length: number): void {
    if (length > this.position) {
      this.advanceTo(length - 1);
      this.claim(1);
    }
    this.flush();
  }
}
