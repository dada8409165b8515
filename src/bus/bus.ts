import type { BusDevice } from "./bus-device.ts";

interface Range {
  readonly start: number;
  readonly end: number;
  readonly device: BusDevice;
}

/** Routes accesses to devices, by guest-physical address or by port. */
export class Bus {
  #ranges: readonly Range[] = [];
  /** The range that served the last access: often the next one's too. */
  #recent: Range | undefined;

  /** Throws RangeError when the range is empty or overlaps another. */
  attach(start: number, length: number, device: BusDevice): void {
    const end = start + length;
    if (!Number.isSafeInteger(start) || start < 0 || length <= 0 || !Number.isSafeInteger(end))
      throw new RangeError(
        `Cannot attach '${device.name}' to ${length} addresses at 0x${start.toString(16)}`,
      );
    const other = this.#ranges.find((range) => range.start < end && start < range.end);
    if (other !== undefined) throw new RangeError(`'${device.name}' overlaps '${other.device.name}'`);
    this.#ranges = [...this.#ranges, { start, end, device }].sort((a, b) => a.start - b.start);
  }

  /** False, with `into` all zeros, when nothing answers. An access across a range's end is nobody's. */
  read(at: number, into: Uint8Array): boolean {
    into.fill(0);
    const range = this.#find(at, into.length);
    range?.device.read(at - range.start, into);
    return range !== undefined;
  }

  /** False when nothing took it. */
  write(at: number, data: Uint8Array): boolean {
    const range = this.#find(at, data.length);
    range?.device.write(at - range.start, data);
    return range !== undefined;
  }

  #find(at: number, length: number): Range | undefined {
    const recent = this.#recent;
    if (recent !== undefined && at >= recent.start && at + length <= recent.end) return recent;
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const range = this.#ranges[middle];
      if (range === undefined) break;
      if (at >= range.end) low = middle + 1;
      else high = middle;
    }
    const found = this.#ranges[low];
    if (found === undefined || at < found.start || at + length > found.end) return undefined;
    this.#recent = found;
    return found;
  }
}
