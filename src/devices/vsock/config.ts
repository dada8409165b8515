// Virtio 1.2, section 5.10.4: struct virtio_vsock_config.
import { VSOCK_HOST_CID } from "./packet.ts";

/** The configuration space of a socket device; RangeError for an address that no guest may have. */
export function vsockConfig(guestCid: number): Uint8Array {
  if (!Number.isInteger(guestCid) || guestCid <= VSOCK_HOST_CID || guestCid >= 0xffff_ffff)
    throw new RangeError(`A guest's CID is between 3 and 2^32 - 2, not ${guestCid}`);
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setUint32(0, guestCid, true);
  return bytes;
}
