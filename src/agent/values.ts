import { SupermachineError } from "../errors/supermachine-error.ts";

/** Writes the few kinds of value that requests are made of: little-endian numbers, counted strings and lists. */
export class ValueWriter {
  #bytes = new Uint8Array(256);
  #length = 0;

  u8(value: number): this {
    const at = this.#reserve(1);
    this.#bytes[at] = value;
    return this;
  }

  flag(value: boolean | undefined): this {
    return this.u8(value === true ? 1 : 0);
  }

  u16(value: number): this {
    const at = this.#reserve(2);
    this.#view().setUint16(at, value, true);
    return this;
  }

  u32(value: number): this {
    const at = this.#reserve(4);
    this.#view().setUint32(at, value, true);
    return this;
  }

  u64(value: bigint): this {
    const at = this.#reserve(8);
    this.#view().setBigUint64(at, value, true);
    return this;
  }

  bytes(value: Uint8Array): this {
    return this.u32(value.length).raw(value);
  }

  /** Bytes without their length. */
  raw(value: Uint8Array): this {
    const at = this.#reserve(value.length);
    this.#bytes.set(value, at);
    return this;
  }

  /** Text as UTF-8. The guest works with C strings, so a NUL is the caller's mistake. */
  string(value: string): this {
    if (value.includes("\0"))
      throw new SupermachineError("INVALID_ARGUMENT", `${JSON.stringify(value)} contains a NUL character`);
    return this.bytes(new TextEncoder().encode(value));
  }

  strings(values: readonly string[]): this {
    this.u32(values.length);
    for (const value of values) this.string(value);
    return this;
  }

  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #view(): DataView {
    return new DataView(this.#bytes.buffer);
  }

  #reserve(length: number): number {
    const at = this.#length;
    this.#length += length;
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2));
      larger.set(this.#bytes.subarray(0, at));
      this.#bytes = larger;
    }
    return at;
  }
}

/** Reads values that the guest wrote: every length is checked, every byte must be accounted for. */
export class ValueReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  flag(): boolean {
    const value = this.u8();
    if (value > 1) throw malformed();
    return value === 1;
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }

  i64(): bigint {
    return this.#view.getBigInt64(this.#take(8), true);
  }

  bytes(): Uint8Array {
    const length = this.u32();
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }

  /** Names in the guest need not be UTF-8; what is not becomes U+FFFD. */
  string(): string {
    return new TextDecoder().decode(this.bytes());
  }

  strings(): string[] {
    const count = this.u32();
    // Each string has a length of four bytes, which bounds the count before anything is allocated.
    if (count * 4 > this.remaining) throw malformed();
    return Array.from({ length: count }, () => this.string());
  }

  end(): void {
    if (this.remaining !== 0) throw malformed();
  }

  #take(length: number): number {
    if (length > this.remaining) throw malformed();
    const at = this.#at;
    this.#at += length;
    return at;
  }
}

function malformed(): SupermachineError {
  return new SupermachineError("AGENT_PROTOCOL", "A result of the guest agent is malformed");
}
