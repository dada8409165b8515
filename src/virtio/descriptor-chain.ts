import { type Gpa, gpa } from "../memory/address.ts";
import type { GuestMemory } from "../memory/guest-memory.ts";

/** A piece of guest memory that a chain names; checked to be memory when the chain was taken. */
export interface Segment {
  readonly address: Gpa;
  readonly length: number;
}

/**
 * One request of a driver: device-readable bytes, then device-writable ones. All of it was validated when it was
 * taken from the queue, so reading and writing inside the lengths cannot fault, except where memory was removed
 * since; then it throws `GuestFault`.
 */
export class DescriptorChain {
  /** Index of the chain's first descriptor, by which it is returned. */
  readonly head: number;
  readonly readable: readonly Segment[];
  readonly writable: readonly Segment[];
  readonly readableLength: number;
  readonly writableLength: number;
  readonly #memory: GuestMemory;

  constructor(
    memory: GuestMemory,
    chain: { head: number; readable: readonly Segment[]; writable: readonly Segment[] },
  ) {
    this.#memory = memory;
    this.head = chain.head;
    this.readable = chain.readable;
    this.writable = chain.writable;
    this.readableLength = totalLength(chain.readable);
    this.writableLength = totalLength(chain.writable);
  }

  /** Copies readable bytes from `offset` on; returns how many there were. What was copied is what gets checked. */
  read(offset: number, into: Uint8Array): number {
    return this.#each(this.readable, offset, into, (at, bytes) => this.#memory.read(at, bytes));
  }

  /** Copies into the writable part from `offset` on; returns how many bytes fitted. */
  write(offset: number, from: Uint8Array): number {
    return this.#each(this.writable, offset, from, (at, bytes) => this.#memory.write(at, bytes));
  }

  /** Live bytes of the readable or writable part, for I/O without a copy. The guest can change them at any time. */
  slices(which: "readable" | "writable"): Uint8Array[] {
    const writable = which === "writable";
    return this[which].flatMap(({ address, length }) => this.#memory.slices(address, length, { writable }));
  }

  #each(
    segments: readonly Segment[],
    offset: number,
    bytes: Uint8Array,
    move: (at: Gpa, piece: Uint8Array) => void,
  ): number {
    let skip = offset;
    let done = 0;
    for (const { address, length } of segments) {
      if (done === bytes.length) break;
      if (skip >= length) {
        skip -= length;
        continue;
      }
      const count = Math.min(length - skip, bytes.length - done);
      move(gpa(address + skip), bytes.subarray(done, done + count));
      done += count;
      skip = 0;
    }
    return done;
  }
}

function totalLength(segments: readonly Segment[]): number {
  let length = 0;
  for (const segment of segments) length += segment.length;
  return length;
}
