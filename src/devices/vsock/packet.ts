// Virtio 1.2, section 5.10.6: socket device packets.

/** src_cid, dst_cid, src_port, dst_port, len, type, op, flags, buf_alloc, fwd_cnt. */
export const VSOCK_HEADER_LENGTH: number = 8 + 8 + 4 + 4 + 4 + 2 + 2 + 4 + 4 + 4;

export const VSOCK_HOST_CID = 2;

export const VIRTIO_VSOCK_TYPE_STREAM = 1;

export const VIRTIO_VSOCK_OP_REQUEST = 1;
export const VIRTIO_VSOCK_OP_RESPONSE = 2;
export const VIRTIO_VSOCK_OP_RST = 3;
export const VIRTIO_VSOCK_OP_SHUTDOWN = 4;
export const VIRTIO_VSOCK_OP_RW = 5;
export const VIRTIO_VSOCK_OP_CREDIT_UPDATE = 6;
export const VIRTIO_VSOCK_OP_CREDIT_REQUEST = 7;

/** The sender of a shutdown packet will not receive any more. */
export const VIRTIO_VSOCK_SHUTDOWN_RCV = 1;
/** The sender of a shutdown packet will not send any more. */
export const VIRTIO_VSOCK_SHUTDOWN_SEND = 2;
export const VIRTIO_VSOCK_SHUTDOWN_BOTH: number = VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND;

export const VIRTIO_VSOCK_EVENT_TRANSPORT_RESET = 0;

export interface VsockHeader {
  /** 64 bits in the packet; above 2^53 rounded, which is still no address of anybody. */
  readonly srcCid: number;
  readonly dstCid: number;
  readonly srcPort: number;
  readonly dstPort: number;
  /** Bytes of payload. */
  readonly length: number;
  readonly type: number;
  readonly op: number;
  readonly flags: number;
  readonly bufAlloc: number;
  readonly fwdCnt: number;
}

/** Reads a header of exactly `VSOCK_HEADER_LENGTH` bytes. */
export function parseVsockHeader(bytes: Uint8Array): VsockHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, VSOCK_HEADER_LENGTH);
  const u32 = (offset: number): number => view.getUint32(offset, true);
  return {
    srcCid: u32(0) + u32(4) * 2 ** 32,
    dstCid: u32(8) + u32(12) * 2 ** 32,
    srcPort: u32(16),
    dstPort: u32(20),
    length: u32(24),
    type: view.getUint16(28, true),
    op: view.getUint16(30, true),
    flags: u32(32),
    bufAlloc: u32(36),
    fwdCnt: u32(40),
  };
}

/** Writes a header into `VSOCK_HEADER_LENGTH` bytes. Addresses must be below 2^32. */
export function encodeVsockHeader(header: VsockHeader, into: Uint8Array): void {
  const view = new DataView(into.buffer, into.byteOffset, VSOCK_HEADER_LENGTH);
  view.setUint32(0, header.srcCid, true);
  view.setUint32(4, 0, true);
  view.setUint32(8, header.dstCid, true);
  view.setUint32(12, 0, true);
  view.setUint32(16, header.srcPort, true);
  view.setUint32(20, header.dstPort, true);
  view.setUint32(24, header.length, true);
  view.setUint16(28, header.type, true);
  view.setUint16(30, header.op, true);
  view.setUint32(32, header.flags, true);
  view.setUint32(36, header.bufAlloc, true);
  view.setUint32(40, header.fwdCnt, true);
}
