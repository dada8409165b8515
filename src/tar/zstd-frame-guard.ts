// Walks the outer structure of zstd data without decompressing it: RFC 8878 sections 3.1.1 (Zstandard frames) and
// 3.1.2 (skippable frames). https://www.rfc-editor.org/rfc/rfc8878

import { archiveError } from "./archive-error.ts";

/** What `zstd -d` accepts without being asked for more; a frame may claim terabytes. */
const maxWindowBytes = 128 * 2 ** 20;

type HeaderKind = "magic" | "frame-header" | "block-header" | "skippable-size";

/** How many bytes tell the length of each header. */
const firstBytes: Readonly<Record<HeaderKind, number>> = {
  magic: 4,
  "frame-header": 1,
  "block-header": 3,
  "skippable-size": 4,
};

/**
 * Refuses what a decoder should not be trusted with: frames that want a huge window, bytes between frames, and data
 * that ends early. Everything goes through it, in pieces of any size, before the decoder sees it.
 */
export class ZstdFrameGuard {
  /** What the header being collected is for. */
  #state: HeaderKind = "magic";
  readonly #header = new Uint8Array(18);
  #collected = 0;
  #wanted = 4;
  /** Payload bytes to pass over before the next header. */
  #skip = 0;
  #hasChecksum = false;

  /** Checks the next bytes and yields them again, cut where frames end: some decoders stop at the end of a frame. */
  *split(bytes: Uint8Array): Generator<Uint8Array, void, undefined> {
    let start = 0;
    for (let at = 0; at < bytes.length; ) {
      if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, bytes.length - at);
        this.#skip -= skipped;
        at += skipped;
      } else {
        this.#header[this.#collected++] = bytes[at++] ?? 0;
        if (this.#collected === this.#wanted) this.#advance();
      }
      if (!this.#isBetweenFrames()) continue;
      yield bytes.subarray(start, at);
      start = at;
    }
    if (start < bytes.length) yield bytes.subarray(start);
  }

  /** Call at the end of the data. */
  finish(): void {
    if (!this.#isBetweenFrames()) throw archiveError("is cut short: its last zstd frame is incomplete");
  }

  #isBetweenFrames(): boolean {
    return this.#state === "magic" && this.#collected === 0 && this.#skip === 0;
  }

  #advance(): void {
    const next = this.#readHeader();
    if (next === "more") return;
    this.#state = next;
    this.#collected = 0;
    this.#wanted = firstBytes[next];
  }

  /** Acts on a collected header and says which comes next, or that this one is longer than it seemed. */
  #readHeader(): HeaderKind | "more" {
    const header = this.#header;
    switch (this.#state) {
      case "magic": {
        const magic = littleEndian(header, 0, 4);
        if (magic === 0xfd2fb528) return "frame-header";
        if (magic >= 0x184d2a50 && magic <= 0x184d2a5f) return "skippable-size";
        throw archiveError("is not zstd data");
      }
      case "skippable-size":
        this.#skip = littleEndian(header, 0, 4);
        return "magic";
      case "frame-header": {
        this.#wanted = frameHeaderLength(header[0] ?? 0);
        if (this.#collected < this.#wanted) return "more";
        const window = windowBytes(header);
        if (window > maxWindowBytes)
          throw archiveError(`wants a zstd window of ${window} bytes, at most ${maxWindowBytes} are allowed`);
        this.#hasChecksum = ((header[0] ?? 0) & 4) !== 0;
        return "block-header";
      }
      case "block-header": {
        const value = littleEndian(header, 0, 3);
        const type = (value >> 1) & 3;
        if (type === 3) throw archiveError("has a zstd block of a reserved type");
        const isLast = (value & 1) === 1;
        // A run-length block stores one byte, whatever its size.
        this.#skip = (type === 1 ? 1 : value >> 3) + (isLast && this.#hasChecksum ? 4 : 0);
        return isLast ? "magic" : "block-header";
      }
    }
  }
}

/** 3.1.1.1: descriptor, window descriptor, dictionary id, content size. */
function frameHeaderLength(descriptor: number): number {
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const dictionaryId = [0, 1, 2, 4][descriptor & 3] ?? 0;
  return 1 + (isSingleSegment ? 0 : 1) + dictionaryId + contentSizeLength(descriptor);
}

function contentSizeLength(descriptor: number): number {
  const flag = descriptor >> 6;
  return flag === 0 ? (descriptor & 0x20 ? 1 : 0) : 2 ** flag;
}

function windowBytes(header: Uint8Array): number {
  const descriptor = header[0] ?? 0;
  if ((descriptor & 0x20) === 0) {
    // 3.1.1.1.2: exponent and mantissa.
    const base = 2 ** (10 + ((header[1] ?? 0) >> 3));
    return base + (base / 8) * ((header[1] ?? 0) & 7);
  }
  const length = contentSizeLength(descriptor);
  const size = littleEndian(header, frameHeaderLength(descriptor) - length, length);
  return length === 2 ? size + 256 : size;
}

function littleEndian(bytes: Uint8Array, start: number, length: number): number {
  let value = 0;
  for (let at = start + length - 1; at >= start; at--) value = value * 256 + (bytes[at] ?? 0);
  return value;
}
