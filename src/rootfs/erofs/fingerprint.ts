/**
 * A 128-bit hash of numbers and byte strings, for telling images apart; no defence against somebody who looks for
 * two equal ones. Four lanes, each value multiplied into one of them and stirred into the next.
 */
export class Fingerprint {
  readonly #lanes: Uint32Array = Uint32Array.of(0x9e3779b9, 0x243f6a88, 0xb7e15162, 0x6a09e667);
  #count = 0;

  /** A number of up to 53 bits, possibly negative. */
  addNumber(value: number): void {
    this.#stir(value >>> 0);
    this.#stir(Math.floor(value / 0x1_0000_0000) >>> 0);
  }

  addText(text: string): void {
    this.#stir(text.length);
    for (let index = 0; index < text.length; index++) this.#stir(text.charCodeAt(index));
  }

  addBytes(bytes: Uint8Array): void {
    this.#stir(bytes.length);
    for (const byte of bytes) this.#stir(byte);
  }

  /** The hash as a random-style UUID (RFC 9562: version 8, "custom"). */
  uuid(): Uint8Array {
    for (let round = 0; round < 16; round++) this.#stir(round);
    const uuid = new Uint8Array(this.#lanes.slice().buffer);
    const view = new DataView(uuid.buffer);
    view.setUint8(6, (view.getUint8(6) & 0x0f) | 0x80);
    view.setUint8(8, (view.getUint8(8) & 0x3f) | 0x80);
    return uuid;
  }

  #stir(value: number): void {
    const lanes = this.#lanes;
    const lane = this.#count & 3;
    this.#count++;
    const mixed = Math.imul((lanes[lane] ?? 0) ^ value, 0x85ebca6b);
    const turned = (mixed << 13) | (mixed >>> 19);
    lanes[lane] = Math.imul(turned, 5) + 0xe6546b64;
    const next = (lane + 1) & 3;
    lanes[next] = (lanes[next] ?? 0) ^ turned ^ (mixed >>> 16);
  }
}
