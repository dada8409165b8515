import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import type { ByteSource } from "../byte-source.ts";

/** Reads below this go through the window: headers and small files lie close together. */
const windowBytes = 16 * 1024;

/** A file as a `ByteSource`; dispose to close it. */
export class FileSource implements ByteSource, Disposable {
  readonly length: number;
  readonly #path: string;
  readonly #window: Uint8Array = new Uint8Array(windowBytes);
  #windowStart = 0;
  #windowLength = 0;
  #fd: number | undefined;

  constructor(path: string) {
    this.#path = path;
    this.#fd = openSync(path, "r");
    this.length = fstatSync(this.#fd).size;
  }

  read(position: number, into: Uint8Array): void {
    if (into.length >= windowBytes) {
      if (this.#readSome(position, into) < into.length) throw this.#tooShort(position, into.length);
      return;
    }
    if (position < this.#windowStart || position + into.length > this.#windowStart + this.#windowLength) {
      this.#windowLength = this.#readSome(position, this.#window);
      this.#windowStart = position;
      if (this.#windowLength < into.length) throw this.#tooShort(position, into.length);
    }
    const start = position - this.#windowStart;
    into.set(this.#window.subarray(start, start + into.length));
  }

  [Symbol.dispose](): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  /** Reads until `into` is full or the file ends. */
  #readSome(position: number, into: Uint8Array): number {
    if (this.#fd === undefined) throw new TypeError(`'${this.#path}' is closed`);
    let done = 0;
    while (done < into.length) {
      const count = readSync(this.#fd, into, done, into.length - done, position + done);
      if (count === 0) break;
      done += count;
    }
    return done;
  }

  #tooShort(position: number, length: number): RangeError {
    return new RangeError(`'${this.#path}' ends before byte ${position + length}`);
  }
}
