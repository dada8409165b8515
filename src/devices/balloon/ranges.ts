/** Bytes of guest-physical memory. */
export interface AddressRange {
  readonly start: number;
  readonly length: number;
}

/** The same bytes in as few ranges as there can be, in address order. */
export function coalesce(ranges: readonly AddressRange[]): AddressRange[] {
  const merged: { start: number; length: number }[] = [];
  for (const { start, length } of ranges.toSorted((a, b) => a.start - b.start)) {
    const last = merged.at(-1);
    if (last !== undefined && start <= last.start + last.length)
      last.length = Math.max(last.length, start + length - last.start);
    else merged.push({ start, length });
  }
  return merged;
}

/** The whole pages inside a range, or undefined where there is none. */
export function wholePages({ start, length }: AddressRange, pageSize: number): AddressRange | undefined {
  const first = Math.ceil(start / pageSize) * pageSize;
  const end = Math.floor((start + length) / pageSize) * pageSize;
  return end > first ? { start: first, length: end - first } : undefined;
}

/** What two ranges have in common. */
export function intersect(a: AddressRange, b: AddressRange): AddressRange | undefined {
  const start = Math.max(a.start, b.start);
  const end = Math.min(a.start + a.length, b.start + b.length);
  return end > start ? { start, length: end - start } : undefined;
}
