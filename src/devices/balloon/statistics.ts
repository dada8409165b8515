// Virtio 1.2, section 5.5.6.3: memory statistics.

/** What the guest says of its memory; each field only if it says so. Bytes, except for the counts. */
export interface BalloonStatistics {
  readonly swapInBytes?: number;
  readonly swapOutBytes?: number;
  /** Counts. */
  readonly majorFaults?: number;
  readonly minorFaults?: number;
  readonly freeBytes?: number;
  readonly totalBytes?: number;
  readonly availableBytes?: number;
  readonly cacheBytes?: number;
  /** Counts. */
  readonly hugePageAllocations?: number;
  readonly hugePageFailures?: number;
}

/** A 16-bit tag and a 64-bit value, packed. */
const ENTRY_LENGTH: number = 2 + 8;
/** By tag, VIRTIO_BALLOON_S_SWAP_IN (0) and on. */
const names: readonly (keyof BalloonStatistics)[] = [
  "swapInBytes",
  "swapOutBytes",
  "majorFaults",
  "minorFaults",
  "freeBytes",
  "totalBytes",
  "availableBytes",
  "cacheBytes",
  "hugePageAllocations",
  "hugePageFailures",
];

/** More than there are tags; what follows in a longer buffer is not looked at. */
export const MAX_STATISTICS_LENGTH: number = 64 * ENTRY_LENGTH;

/** Reads entries in any order; unknown tags and an incomplete last entry are ignored. Above 2^53 values are rounded. */
export function parseStatistics(bytes: Uint8Array): BalloonStatistics {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const statistics: { -readonly [Name in keyof BalloonStatistics]: number } = {};
  for (let at = 0; at + ENTRY_LENGTH <= bytes.length; at += ENTRY_LENGTH) {
    const name = names[view.getUint16(at, true)];
    if (name !== undefined)
      statistics[name] = view.getUint32(at + 2, true) + view.getUint32(at + 6, true) * 2 ** 32;
  }
  return statistics;
}
