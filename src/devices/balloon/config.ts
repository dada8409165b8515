// Virtio 1.2, section 5.5.4: struct virtio_balloon_config, without the fields of features that are not offered.

/** The balloon counts in pages of this size, whatever those of guest and host are. */
export const BALLOON_PAGE = 4096;
export const CONFIG_ACTUAL = 4;

export function balloonConfig(pages: { readonly target: number; readonly actual: number }): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, pages.target, true);
  view.setUint32(CONFIG_ACTUAL, pages.actual, true);
  return bytes;
}
