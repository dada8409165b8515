import { SupermachineError } from "../errors/supermachine-error.ts";
import { MAX_STALE_BYTES, PREAMBLE_BYTES, PREAMBLE_MAGIC, PROTOCOL_VERSION } from "./protocol.ts";

/** What each side sends before any frame. The agent repeats the host's nonce, so that the host can tell the answer
 * from what an earlier connection left behind. */
export interface Preamble {
  readonly version: number;
  /** 16 bytes. */
  readonly nonce: Uint8Array;
}

export function encodePreamble(preamble: Preamble): Uint8Array {
  const bytes = new Uint8Array(PREAMBLE_BYTES);
  bytes.set(PREAMBLE_MAGIC);
  new DataView(bytes.buffer).setUint32(8, preamble.version, true);
  bytes.set(preamble.nonce, 16);
  return bytes;
}

/** A nonce need not be secret, only different from the last one on the same pipe. */
export function randomNonce(): Uint8Array {
  return Uint8Array.from({ length: 16 }, () => Math.floor(Math.random() * 256));
}

/** Finds the other side's preamble in a byte stream that may begin with stale bytes. */
export class PreambleScanner {
  readonly #nonce: Uint8Array | undefined;
  #held = new Uint8Array(0);
  #skipped = 0;

  /** With a nonce only a preamble that repeats it counts. */
  constructor(nonce?: Uint8Array) {
    this.#nonce = nonce;
  }

  /** The preamble and the bytes after it, once it is complete; undefined as long as more is needed. */
  push(chunk: Uint8Array): { preamble: Preamble; rest: Uint8Array } | undefined {
    const bytes = new Uint8Array(this.#held.length + chunk.length);
    bytes.set(this.#held);
    bytes.set(chunk, this.#held.length);
    let at = 0;
    for (; at + PREAMBLE_BYTES <= bytes.length; at++) {
      const preamble = parse(bytes.subarray(at, at + PREAMBLE_BYTES), this.#nonce);
      if (preamble !== undefined) return { preamble, rest: bytes.subarray(at + PREAMBLE_BYTES) };
    }
    this.#skipped += at;
    if (this.#skipped > MAX_STALE_BYTES)
      throw new SupermachineError("AGENT_PROTOCOL", "The agent did not answer with its version");
    this.#held = bytes.slice(at);
    return undefined;
  }
}

/** Throws unless the agent speaks our version. */
export function checkVersion(preamble: Preamble): void {
  if (preamble.version === PROTOCOL_VERSION) return;
  throw new SupermachineError(
    "AGENT_PROTOCOL",
    `The guest agent speaks protocol version ${preamble.version}, this host ${PROTOCOL_VERSION}`,
    { hint: "Rebuild the guest agent, or remove machines made by another version" },
  );
}

function parse(bytes: Uint8Array, nonce: Uint8Array | undefined): Preamble | undefined {
  if (!PREAMBLE_MAGIC.every((byte, index) => bytes[index] === byte)) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  if (view.getUint32(12, true) !== 0) return undefined;
  if (nonce?.some((byte, index) => bytes[16 + index] !== byte)) return undefined;
  return { version: view.getUint32(8, true), nonce: bytes.slice(16, 32) };
}
