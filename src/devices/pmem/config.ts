// Virtio 1.2, section 5.19.4: struct virtio_pmem_config.

/** Where the region lies in the guest's address space. */
export function pmemConfig({
  start,
  length,
}: {
  readonly start: number;
  readonly length: number;
}): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  for (const [offset, value] of [
    [0, start],
    [8, length],
  ] as const) {
    if (!Number.isSafeInteger(value) || value <= 0)
      throw new RangeError(`A persistent memory region cannot start or end at ${value}`);
    view.setBigUint64(offset, BigInt(value), true);
  }
  return bytes;
}
