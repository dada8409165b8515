import type { MemoryRegion } from "./guest-memory.ts";

export interface BackedRegion extends MemoryRegion {
  /**
   * Live bytes of `[offset, offset + length)` of the region, which lies inside it; asked for as they are needed, and valid
   * until the region is removed.
   */
  bytes(offset: number, length: number): Uint8Array;
}

/** A part of a region with the views that accessors use, made once. */
export interface Piece {
  /** In the guest's address space. */
  readonly start: number;
  readonly end: number;
  readonly readOnly: boolean;
  readonly bytes: Uint8Array;
  readonly data: DataView;
  readonly words: Uint16Array;
}

/** Pieces begin at multiples of this. Each reaches over the next one's beginning: what is no longer than this lies inside one. */
const pieceStep = 2 ** 20;
const pieceLength = 2 * pieceStep;

/**
 * A region of guest memory in pieces, each made when it is first touched. V8 counts the bytes behind a buffer as memory
 * that a collection might free: buffers over all of a guest's memory, few bytes of which a device ever touches, make it
 * collect garbage again and again while a machine starts.
 */
export class RegionPieces {
  readonly region: BackedRegion;
  readonly #pieces: (Piece | undefined)[] = [];

  constructor(region: BackedRegion) {
    this.region = region;
  }

  /** Whether the whole range lies in the region. Written so that NaN and negative lengths do not. */
  holds(at: number, length: number): boolean {
    const { start, length: regionLength } = this.region;
    return at >= start && length >= 0 && at + length <= start + regionLength;
  }

  /** The piece in which the range begins; the region holds its first byte. It may end after the piece. */
  at(at: number): Piece {
    const index = Math.floor((at - this.region.start) / pieceStep);
    const known = this.#pieces[index];
    if (known !== undefined) return known;
    const piece = pieceOf(this.region, index * pieceStep);
    this.#pieces[index] = piece;
    return piece;
  }

  /** Bytes of a range that the region holds, however long it is. */
  bytes(at: number, length: number): Uint8Array {
    return this.region.bytes(at - this.region.start, length);
  }
}

function pieceOf(region: BackedRegion, offset: number): Piece {
  const bytes = region.bytes(offset, Math.min(pieceLength, region.length - offset));
  const { buffer, byteOffset, byteLength } = bytes;
  return {
    start: region.start + offset,
    end: region.start + offset + byteLength,
    readOnly: region.readOnly,
    bytes,
    data: new DataView(buffer, byteOffset, byteLength),
    words: new Uint16Array(buffer, byteOffset, byteLength / 2),
  };
}
