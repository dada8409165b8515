// Virtio 1.2, section 5.2.4: struct virtio_blk_config, and section 5.2.3: features.
import type { BlkBackend } from "./backend.ts";
import { SECTOR } from "./request.ts";

export const VIRTIO_BLK_F_SIZE_MAX: bigint = 1n << 1n;
export const VIRTIO_BLK_F_SEG_MAX: bigint = 1n << 2n;
export const VIRTIO_BLK_F_RO: bigint = 1n << 5n;
export const VIRTIO_BLK_F_BLK_SIZE: bigint = 1n << 6n;
export const VIRTIO_BLK_F_FLUSH: bigint = 1n << 9n;
export const VIRTIO_BLK_F_DISCARD: bigint = 1n << 13n;
export const VIRTIO_BLK_F_WRITE_ZEROES: bigint = 1n << 14n;

export const QUEUE_SIZE = 128;
/** A request of a whole queue, less its header and its status. */
export const SEG_MAX: number = QUEUE_SIZE - 2;
export const SIZE_MAX = 65_536;
/** What a well-behaved driver's largest request holds: 8 MiB less two segments. */
export const MAX_REQUEST: number = SEG_MAX * SIZE_MAX;
export const MAX_RANGES = 16;
/** 2 GiB in one range: a discard must not keep the host busy for long. */
export const MAX_RANGE_SECTORS: number = 2 ** 22;

/** What the device offers, given what its backend can do. */
export function blkFeatures(backend: BlkBackend): bigint {
  const always = VIRTIO_BLK_F_SIZE_MAX | VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_BLK_SIZE | VIRTIO_BLK_F_FLUSH;
  if (backend.readOnly) return always | VIRTIO_BLK_F_RO;
  return (
    always |
    (backend.discard === undefined ? 0n : VIRTIO_BLK_F_DISCARD) |
    (backend.writeZeroes === undefined ? 0n : VIRTIO_BLK_F_WRITE_ZEROES)
  );
}

export function blkConfig(backend: BlkBackend, blockSize: number): Uint8Array {
  if (!Number.isSafeInteger(backend.length) || backend.length < 0)
    throw new RangeError(`A disk cannot be ${backend.length} bytes long`);
  if (blockSize < SECTOR || blockSize > 4096 || (blockSize & (blockSize - 1)) !== 0)
    throw new RangeError(`A disk's blocks are 512 to 4096 bytes, a power of two, not ${blockSize}`);
  const bytes = new Uint8Array(60);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(Math.floor(backend.length / SECTOR)), true);
  view.setUint32(8, SIZE_MAX, true);
  view.setUint32(12, SEG_MAX, true);
  view.setUint32(20, blockSize, true);
  for (const ranges of [36, 48]) {
    view.setUint32(ranges, MAX_RANGE_SECTORS, true);
    view.setUint32(ranges + 4, MAX_RANGES, true);
  }
  view.setUint32(44, blockSize / SECTOR, true);
  view.setUint8(56, 1);
  return bytes;
}
