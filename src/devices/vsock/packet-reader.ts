// Virtio 1.2, section 5.10.6: what the guest sends is read once, and believed only as far as it can be true.
import type { DescriptorChain } from "../../virtio/descriptor-chain.ts";
import * as p from "./packet.ts";

/** A payload longer than this is no packet: Linux sends up to 64 KiB. */
const maxPayload: number = 4 * 2 ** 20;

/** Reads a guest's packets. */
export class PacketReader {
  readonly #guestCid: number;
  readonly #header = new Uint8Array(p.VSOCK_HEADER_LENGTH);

  constructor(guestCid: number) {
    this.#guestCid = guestCid;
  }

  /** Undefined for what is no packet of this guest's, or not whole. */
  header(chain: DescriptorChain): p.VsockHeader | undefined {
    if (chain.read(0, this.#header) < p.VSOCK_HEADER_LENGTH) return undefined;
    const header = p.parseVsockHeader(this.#header);
    if (header.srcCid !== this.#guestCid || header.dstCid >= 2 ** 32) return undefined;
    // The chain may be longer than the packet, but not shorter (section 5.10.6).
    if (header.length > Math.min(chain.readableLength - p.VSOCK_HEADER_LENGTH, maxPayload)) return undefined;
    return header;
  }

  /** What a data packet carries; copied before anything is decided on it. */
  payload(chain: DescriptorChain, { op, length }: p.VsockHeader): Uint8Array {
    const payload = new Uint8Array(op === p.VIRTIO_VSOCK_OP_RW ? length : 0);
    if (payload.length > 0) chain.read(p.VSOCK_HEADER_LENGTH, payload);
    return payload;
  }
}
