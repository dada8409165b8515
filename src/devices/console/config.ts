// Virtio 1.2, section 5.3.4: struct virtio_console_config.

/** Columns, rows, then the number of ports and the emergency byte, which a single port without them leaves 0. */
export function consoleConfig({
  columns,
  rows,
}: {
  readonly columns: number;
  readonly rows: number;
}): Uint8Array {
  const bytes = new Uint8Array(12);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, columns, true);
  view.setUint16(2, rows, true);
  return bytes;
}
