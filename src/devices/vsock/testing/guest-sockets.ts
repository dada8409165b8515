import { type DeviceRig, deviceRig } from "../../../virtio/testing/device-rig.ts";
import type { VsockDevice } from "../device.ts";
import * as p from "../packet.ts";

/** A packet as the guest's driver sees it. */
export interface GuestPacket {
  readonly header: p.VsockHeader;
  readonly payload: Uint8Array;
}

/** What a test says about a packet; the rest is that of a proper stream packet of this guest. */
export type PacketFields = Partial<p.VsockHeader> & { readonly payload?: Uint8Array };

export const guestCid = 3;
const RX = 0;
const TX = 1;
const EVENT = 2;

/** The guest's half of a socket device, packet by packet. */
export class GuestSockets {
  readonly rig: DeviceRig;

  constructor(device: VsockDevice, options: { memoryBytes?: number; features?: bigint } = {}) {
    this.rig = deviceRig(device, { memoryBytes: options.memoryBytes ?? 0x40_0000 });
    this.rig.driver.bringUp({
      queueSize: 64,
      ...(options.features === undefined ? {} : { features: options.features }),
    });
  }

  /** Offers receive buffers as Linux does: a header and a page each. */
  offer(count: number, payloadBytes = 4096): void {
    for (let index = 0; index < count; index++)
      this.rig.driver.add(RX, [{ write: p.VSOCK_HEADER_LENGTH }, { write: payloadBytes }]);
    this.rig.driver.notify(RX);
  }

  /** Sends a packet as one buffer, and notifies the device. */
  send(fields: PacketFields): void {
    this.queue(fields);
    this.rig.driver.notify(TX);
  }

  /** Sends a packet without a notification. */
  queue({ payload = new Uint8Array(0), ...fields }: PacketFields): void {
    const bytes = new Uint8Array(p.VSOCK_HEADER_LENGTH + payload.length);
    p.encodeVsockHeader({ ...properPacket, length: payload.length, ...fields }, bytes);
    bytes.set(payload, p.VSOCK_HEADER_LENGTH);
    this.rig.driver.add(TX, [{ read: bytes }]);
  }

  /** What the device has sent since the last call. */
  received(): GuestPacket[] {
    return this.rig.driver.collect(RX).map(({ output, written }) => ({
      header: p.parseVsockHeader(output),
      payload: output.slice(p.VSOCK_HEADER_LENGTH, written),
    }));
  }

  /** The same, of each packet only its operation. */
  receivedOps(): number[] {
    return this.received().map(({ header }) => header.op);
  }

  offerEventBuffers(count: number): void {
    for (let index = 0; index < count; index++) this.rig.driver.add(EVENT, [{ write: 4 }]);
    this.rig.driver.notify(EVENT);
  }

  events(): Uint8Array[] {
    return this.rig.driver.collect(EVENT).map(({ output }) => output);
  }
}

const properPacket: p.VsockHeader = {
  srcCid: guestCid,
  dstCid: p.VSOCK_HOST_CID,
  srcPort: 1000,
  dstPort: 80,
  length: 0,
  type: p.VIRTIO_VSOCK_TYPE_STREAM,
  op: p.VIRTIO_VSOCK_OP_RW,
  flags: 0,
  bufAlloc: 65_536,
  fwdCnt: 0,
};
