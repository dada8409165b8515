import type { ByteSink, ByteSource } from "../../tree.ts";

/** An image in memory: a sink that checks what sinks may rely on, and a source to read it back. */
export class MemoryImage implements ByteSink, ByteSource {
  readonly #pieces: { position: number; bytes: Uint8Array }[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Bytes that were really written. */
  get written(): number {
    return this.#pieces.reduce((sum, piece) => sum + piece.bytes.length, 0);
  }

  write(position: number, bytes: Uint8Array): void {
    if (position < this.#length) throw new Error(`Written at ${position} after ${this.#length}`);
    this.#pieces.push({ position, bytes: bytes.slice() });
    this.#length = position + bytes.length;
  }

  read(position: number, into: Uint8Array): void {
    if (position + into.length > this.#length)
      throw new Error(`Read of ${into.length} at ${position} past the end`);
    into.fill(0);
    for (const piece of this.#pieces) {
      const start = Math.max(position, piece.position);
      const end = Math.min(position + into.length, piece.position + piece.bytes.length);
      if (start < end)
        into.set(piece.bytes.subarray(start - piece.position, end - piece.position), start - position);
    }
  }

  /** The whole image; for small ones. */
  toBytes(): Uint8Array {
    const bytes = new Uint8Array(this.#length);
    this.read(0, bytes);
    return bytes;
  }
}
