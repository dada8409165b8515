import { addressSpaceEnd, type Gpa } from "./address.ts";
import { GuestFault } from "./guest-fault.ts";
import type { GuestMemory, MemoryRegion } from "./guest-memory.ts";
import { type BackedRegion, type Piece, RegionPieces } from "./region-pieces.ts";
import type { WriteLog } from "./write-log.ts";

/** Guest memory over bytes that somebody else allocated or mapped, and removes here before releasing them. */
export class MappedMemory implements GuestMemory {
  /** In address order. */
  #regions: readonly RegionPieces[] = [];
  /** The piece that served the last access: nearly always the next one's too. */
  #recent: Piece | undefined;
  /** Undefined when nobody wants to know, which is nearly always. */
  #logs: readonly WriteLog[] | undefined;

  constructor(regions: readonly BackedRegion[] = []) {
    for (const region of regions) this.add(region);
  }

  get regions(): readonly MemoryRegion[] {
    return this.#regions.map(({ region }) => region);
  }

  /** Throws RangeError for a region that is empty, leaves the address space or overlaps another. */
  add(region: BackedRegion): void {
    checkShape(region);
    const end = region.start + region.length;
    const other = this.regions.find(({ start, length }) => region.start < start + length && start < end);
    if (other !== undefined) throw new RangeError(`${describe(region)} overlaps ${describe(other)}`);
    this.#replace([...this.#regions, new RegionPieces(region)]);
  }

  /** Forgets the region that starts here; its bytes are reachable only through views taken earlier. */
  remove(start: Gpa): void {
    const kept = this.#regions.filter(({ region }) => region.start !== start);
    if (kept.length === this.#regions.length)
      throw new RangeError(`No region starts at 0x${start.toString(16)}`);
    this.#replace(kept);
  }

  /** Forgets all regions: every later access is a fault rather than a touch of unmapped memory. */
  clear(): void {
    this.#replace([]);
  }

  /** Tells a log of every write from now on, until the result is disposed of. */
  logWrites(log: WriteLog): Disposable {
    this.#logs = [...(this.#logs ?? []), log];
    return {
      [Symbol.dispose]: () => {
        const others = this.#logs?.filter((other) => other !== log) ?? [];
        this.#logs = others.length === 0 ? undefined : others;
      },
    };
  }

  changed(at: Gpa, length: number): void {
    for (const log of this.#logs ?? []) log.add(at, length);
  }

  covers(at: Gpa, length: number, { writable = false }: { readonly writable?: boolean } = {}): boolean {
    const end = at + length;
    if (!(length >= 0 && at >= 0 && end <= addressSpaceEnd)) return false;
    let position: number = at;
    while (position < end) {
      const region = this.#regionOf(position, 1)?.region;
      if (region === undefined || (writable && region.readOnly)) return false;
      position = region.start + region.length;
    }
    return true;
  }

  view(at: Gpa, length: number): Uint8Array {
    const region = this.#regionOf(at, length);
    if (region === undefined) throw new GuestFault("Not guest memory", { address: at, length });
    this.#beforeWrite(region.region, at, length);
    const piece = this.#lookUp(at, length);
    if (piece === undefined) return region.bytes(at, length);
    return piece.bytes.subarray(at - piece.start, at - piece.start + length);
  }

  slices(at: Gpa, length: number, { writable = false }: { readonly writable?: boolean } = {}): Uint8Array[] {
    const slices: Uint8Array[] = [];
    for (let done = 0; done < length; ) {
      const position = at + done;
      const piece = this.#lookUp(position, length - done) ?? this.#regionOf(position, 1)?.at(position);
      if (piece === undefined) throw new GuestFault("Not guest memory", { address: position, length: 1 });
      const taken = Math.min(length - done, piece.end - position);
      if (writable) this.#beforeWrite(piece, position, taken);
      slices.push(piece.bytes.subarray(position - piece.start, position - piece.start + taken));
      done += taken;
    }
    return slices;
  }

  read(at: Gpa, into: Uint8Array): void {
    const whole = this.#lookUp(at, into.length);
    if (whole !== undefined) {
      const offset = at - whole.start;
      return into.set(whole.bytes.subarray(offset, offset + into.length));
    }
    let done = 0;
    for (const slice of this.slices(at, into.length)) {
      into.set(slice, done);
      done += slice.length;
    }
  }

  write(at: Gpa, bytes: Uint8Array): void {
    const whole = this.#lookUp(at, bytes.length);
    if (whole !== undefined && !whole.readOnly) {
      this.#beforeWrite(whole, at, bytes.length);
      return whole.bytes.set(bytes, at - whole.start);
    }
    let done = 0;
    for (const slice of this.slices(at, bytes.length, { writable: true })) {
      slice.set(bytes.subarray(done, done + slice.length));
      done += slice.length;
    }
  }

  u16(at: Gpa): number {
    const piece = this.#readable(at, 2);
    return piece.data.getUint16(at - piece.start, true);
  }

  u32(at: Gpa): number {
    const piece = this.#readable(at, 4);
    return piece.data.getUint32(at - piece.start, true);
  }

  address64(at: Gpa): Gpa {
    const piece = this.#readable(at, 8);
    const offset = at - piece.start;
    const value = piece.data.getUint32(offset, true) + piece.data.getUint32(offset + 4, true) * 0x1_0000_0000;
    // Above 2^53 the sum is rounded, but it cannot be rounded below the limit.
    if (value >= addressSpaceEnd)
      throw new GuestFault("No such guest address", { address: value, length: 0 });
    return value as Gpa;
  }

  setU16(at: Gpa, value: number): void {
    const piece = this.#writable(at, 2);
    piece.data.setUint16(at - piece.start, value, true);
  }

  setU32(at: Gpa, value: number): void {
    const piece = this.#writable(at, 4);
    piece.data.setUint32(at - piece.start, value, true);
  }

  // Atomics use the host's byte order, which is little endian wherever this runs.

  loadAcquire16(at: Gpa): number {
    const piece = this.#readable(at, 2);
    return Atomics.load(piece.words, wordIndex(at, piece));
  }

  storeRelease16(at: Gpa, value: number): void {
    const piece = this.#writable(at, 2);
    Atomics.store(piece.words, wordIndex(at, piece), value);
  }

  /** For a few bytes: they lie in one piece wherever they are. */
  #readable(at: number, length: number): Piece {
    const piece = this.#lookUp(at, length);
    if (piece === undefined) throw new GuestFault("Not guest memory", { address: at, length });
    return piece;
  }

  #writable(at: number, length: number): Piece {
    const piece = this.#readable(at, length);
    this.#beforeWrite(piece, at, length);
    return piece;
  }

  /** Before, not after: whoever takes the log and then looks sees either the bit or the bytes. */
  #beforeWrite({ readOnly }: Pick<Piece, "readOnly">, at: number, length: number): void {
    if (readOnly) throw new GuestFault("Guest memory is read-only", { address: at, length });
    if (this.#logs !== undefined) for (const log of this.#logs) log.add(at, length);
  }

  /** The piece that holds all of the range, if one does. Written so that NaN and negative lengths find nothing. */
  #lookUp(at: number, length: number): Piece | undefined {
    const recent = this.#recent;
    if (recent !== undefined && at >= recent.start && length >= 0 && at + length <= recent.end) return recent;
    // An empty range at a region's end begins in no piece.
    const piece = length >= 0 ? this.#regionOf(at, Math.max(length, 1))?.at(at) : undefined;
    if (piece === undefined || at + length > piece.end) return undefined;
    this.#recent = piece;
    return piece;
  }

  #regionOf(at: number, length: number): RegionPieces | undefined {
    return this.#regions.find((region) => region.holds(at, length));
  }

  #replace(regions: readonly RegionPieces[]): void {
    this.#recent = undefined;
    this.#regions = regions.toSorted((a, b) => a.region.start - b.region.start);
  }
}

function wordIndex(at: number, piece: Piece): number {
  if (at % 2 !== 0) throw new GuestFault("Not aligned", { address: at, length: 2 });
  return (at - piece.start) / 2;
}

function checkShape(region: MemoryRegion): void {
  const { start, length } = region;
  if (!Number.isInteger(length) || length <= 0 || length % 2 !== 0 || start % 2 !== 0)
    throw new RangeError(`${describe(region)} must be even and not empty`);
  if (start + length > addressSpaceEnd) throw new RangeError(`${describe(region)} leaves the address space`);
}

function describe({ start, length }: MemoryRegion): string {
  return `Memory region 0x${start.toString(16)}-0x${(start + length).toString(16)}`;
}
