import { type Deferred, deferred } from "./deferred.ts";

/** Pieces below this are copied together, so that a sender of tiny pieces cannot make us hold a large object each. */
const SMALL_PIECE_BYTES = 4096;
const MERGED_PIECE_BYTES = 32_768;

export interface ByteQueueListener {
  /** So many bytes have left the queue, read or dropped. */
  taken(bytes: number): void;
  /** The reader left before the end. */
  abandoned?(): void;
}

/**
 * Bytes on their way to one reader. It has no limit of its own: the credit of the stream bounds what is pushed.
 * It may be iterated once; leaving the loop early drops what follows.
 */
export class ByteQueue implements AsyncIterable<Uint8Array> {
  readonly #listener: ByteQueueListener;
  #pieces: Uint8Array[] = [];
  #tail: Uint8Array | undefined;
  #tailLength = 0;
  #waiting: Deferred<void> | undefined;
  #dropping = false;
  #ended = false;
  #error: Error | undefined;

  constructor(listener: ByteQueueListener) {
    this.#listener = listener;
  }

  push(bytes: Uint8Array): void {
    if (this.#dropping) {
      this.#listener.taken(bytes.length);
      return;
    }
    if (bytes.length >= SMALL_PIECE_BYTES) {
      this.#closeTail();
      this.#pieces.push(bytes);
    } else {
      if (this.#tail === undefined || this.#tailLength + bytes.length > this.#tail.length) {
        this.#closeTail();
        // The first small piece gets what it needs, followers share a larger buffer: most output is one short line.
        const room = this.#pieces.length === 0 ? bytes.length : MERGED_PIECE_BYTES;
        this.#tail = new Uint8Array(room);
      }
      this.#tail.set(bytes, this.#tailLength);
      this.#tailLength += bytes.length;
    }
    this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** What was pushed before can still be read. */
  fail(error: Error): void {
    if (this.#ended) return;
    this.#error ??= error;
    this.end();
  }

  /** Forgets everything, also what is still to come. */
  drop(): void {
    if (this.#dropping) return;
    this.#dropping = true;
    this.#closeTail();
    const dropped = this.#pieces.reduce((sum, piece) => sum + piece.length, 0);
    this.#pieces = [];
    if (dropped > 0) this.#listener.taken(dropped);
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for (;;) {
        const piece = this.#shift();
        if (piece !== undefined) {
          this.#listener.taken(piece.length);
          yield piece;
        } else if (this.#ended || this.#dropping) {
          if (this.#error !== undefined) throw this.#error;
          return;
        } else {
          this.#waiting = deferred();
          await this.#waiting.promise;
        }
      }
    } finally {
      if (!this.#ended && !this.#dropping) this.#listener.abandoned?.();
      this.drop();
    }
  }

  #shift(): Uint8Array | undefined {
    if (this.#pieces.length === 0) this.#closeTail();
    return this.#pieces.shift();
  }

  #closeTail(): void {
    if (this.#tail !== undefined && this.#tailLength > 0)
      this.#pieces.push(this.#tail.subarray(0, this.#tailLength));
    this.#tail = undefined;
    this.#tailLength = 0;
  }

  #wake(): void {
    this.#waiting?.resolve();
    this.#waiting = undefined;
  }
}
