import { pageLength } from "../page-map.ts";

/** A memory in an array, with helpers for tests to fill it. */
export class ArrayMemory {
  readonly bytes: Uint8Array;

  constructor(memoryMiB: number) {
    this.bytes = new Uint8Array(memoryMiB * 2 ** 20);
  }

  get length(): number {
    return this.bytes.length;
  }

  view(offset: number, length: number): Uint8Array {
    return this.bytes.subarray(offset, offset + length);
  }

  /** Fills pages with a byte. */
  fill(start: number, count: number, byte: number): this {
    this.bytes.fill(byte, start * pageLength, (start + count) * pageLength);
    return this;
  }
}
