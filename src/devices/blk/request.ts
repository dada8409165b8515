// Virtio 1.2, section 5.2.6: block device requests.
import type { DescriptorChain } from "../../virtio/descriptor-chain.ts";

/** The unit of every position and length, whatever the block size. */
export const SECTOR = 512;

export const VIRTIO_BLK_T_IN = 0;
export const VIRTIO_BLK_T_OUT = 1;
export const VIRTIO_BLK_T_FLUSH = 4;
export const VIRTIO_BLK_T_GET_ID = 8;
export const VIRTIO_BLK_T_DISCARD = 11;
export const VIRTIO_BLK_T_WRITE_ZEROES = 13;

export const VIRTIO_BLK_S_OK = 0;
export const VIRTIO_BLK_S_IOERR = 1;
export const VIRTIO_BLK_S_UNSUPP = 2;

/** type, reserved, sector. */
export const REQUEST_HEADER_LENGTH: number = 4 + 4 + 8;
/** sector, num_sectors, flags. */
export const RANGE_LENGTH: number = 8 + 4 + 4;
/** Longest device id; a shorter one is padded with NULs. */
export const ID_LENGTH = 20;
export const RANGE_UNMAP = 1;

export interface BlkRequest {
  readonly type: number;
  /** Above 2^53 rounded, which is still past every device's end. */
  readonly sector: number;
  /** Readable bytes after the header. */
  readonly outLength: number;
  /** Writable bytes before the status byte, which is the last one. */
  readonly inLength: number;
}

/** The request's header, or undefined where the chain has no whole header or no room for the status. */
export function parseBlkRequest(chain: DescriptorChain): BlkRequest | undefined {
  const bytes = new Uint8Array(REQUEST_HEADER_LENGTH);
  if (chain.read(0, bytes) < REQUEST_HEADER_LENGTH || chain.writableLength === 0) return undefined;
  const view = new DataView(bytes.buffer);
  return {
    type: view.getUint32(0, true),
    sector: view.getUint32(8, true) + view.getUint32(12, true) * 2 ** 32,
    outLength: chain.readableLength - REQUEST_HEADER_LENGTH,
    inLength: chain.writableLength - 1,
  };
}

/** A range of a discard or write-zeroes request. */
export interface BlkRange {
  readonly sector: number;
  readonly sectors: number;
  readonly flags: number;
}

/** The ranges in the first `length` bytes after the header, copied before they are looked at. */
export function parseBlkRanges(chain: DescriptorChain, length: number): BlkRange[] {
  const bytes = new Uint8Array(length);
  chain.read(REQUEST_HEADER_LENGTH, bytes);
  const view = new DataView(bytes.buffer);
  return Array.from({ length: Math.floor(length / RANGE_LENGTH) }, (_, index) => {
    const at = index * RANGE_LENGTH;
    return {
      sector: view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32,
      sectors: view.getUint32(at + 8, true),
      flags: view.getUint32(at + 12, true),
    };
  });
}

/** Part of a list of byte slices. */
export function slicesFrom(slices: readonly Uint8Array[], offset: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  let skip = offset;
  for (const slice of slices) {
    if (skip < slice.length) rest.push(slice.subarray(skip));
    skip = Math.max(0, skip - slice.length);
  }
  return rest;
}
