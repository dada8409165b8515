// Virtio 1.2, section 5.10.6: what the device sends, packet by packet.
import type { DescriptorChain } from "../../virtio/descriptor-chain.ts";
import type { OutgoingPacket, VsockConnection } from "./connection.ts";
import * as p from "./packet.ts";
import type { TransportReset } from "./transport-reset.ts";

/** RST packets that may wait for the guest's receive buffers. */
const maxResets = 1024;

/** A RST for a packet that belongs to no connection, or for one that is over. */
export interface Reset {
  readonly srcCid: number;
  readonly srcPort: number;
  readonly dstPort: number;
  readonly type: number;
}

/** What waits for the guest's receive buffers: first the resets, then each connection in turn. */
export class Outbox {
  readonly #guestCid: number;
  readonly #transportReset: TransportReset;
  #resets: Reset[] = [];
  /** Who has something to send, in turn. */
  readonly #sendable = new Set<VsockConnection>();
  readonly #header = new Uint8Array(p.VSOCK_HEADER_LENGTH);
  #packets = 0;

  /** New connections wait for the end of a transport reset. */
  constructor(guestCid: number, transportReset: TransportReset) {
    this.#guestCid = guestCid;
    this.#transportReset = transportReset;
  }

  /** Packets written so far. */
  get packets(): number {
    return this.#packets;
  }

  /** So many resets wait that nothing may be taken from the guest which could add to them. */
  get isFull(): boolean {
    return this.#resets.length >= maxResets;
  }

  get isEmpty(): boolean {
    return this.#resets.length === 0 && this.#nextSendable() === undefined;
  }

  addReset(reset: Reset): void {
    this.#resets.push(reset);
  }

  /** Nobody is left who could be told. */
  dropResets(): void {
    this.#resets = [];
  }

  add(connection: VsockConnection): void {
    this.#sendable.add(connection);
  }

  delete(connection: VsockConnection): void {
    this.#sendable.delete(connection);
  }

  /** Writes the next packet; returns its length, 0 when the buffer is too small for it. */
  fill(chain: DescriptorChain): number {
    const room = chain.writableLength - p.VSOCK_HEADER_LENGTH;
    if (room < 0) return 0;
    const reset = this.#resets.shift();
    if (reset !== undefined) return this.#writeReset(chain, reset);
    const connection = this.#nextSendable();
    const packet = connection?.next(room);
    if (connection === undefined || packet === undefined) return 0;
    this.#sendable.delete(connection);
    if (connection.isSendable) this.#sendable.add(connection);
    return this.#writePacket(chain, connection, packet);
  }

  #nextSendable(): VsockConnection | undefined {
    for (const connection of this.#sendable) {
      if (!connection.isSendable) this.#sendable.delete(connection);
      else if (!this.#transportReset.isPending || !connection.isNew) return connection;
    }
    return undefined;
  }

  #writePacket(chain: DescriptorChain, connection: VsockConnection, packet: OutgoingPacket): number {
    const { op, flags, payload } = packet;
    const { bufAlloc, fwdCnt } = connection.credit;
    const header = {
      srcCid: p.VSOCK_HOST_CID,
      dstCid: this.#guestCid,
      srcPort: connection.localPort,
      dstPort: connection.peerPort,
      length: payload.length,
      type: p.VIRTIO_VSOCK_TYPE_STREAM,
      op,
      flags,
      bufAlloc,
      fwdCnt,
    };
    const written = this.#writeHeader(chain, header);
    return written + (payload.length === 0 ? 0 : chain.write(p.VSOCK_HEADER_LENGTH, payload));
  }

  #writeReset(chain: DescriptorChain, reset: Reset): number {
    const rest = {
      dstCid: this.#guestCid,
      length: 0,
      op: p.VIRTIO_VSOCK_OP_RST,
      flags: 0,
      bufAlloc: 0,
      fwdCnt: 0,
    };
    return this.#writeHeader(chain, { ...reset, ...rest });
  }

  #writeHeader(chain: DescriptorChain, header: p.VsockHeader): number {
    this.#packets++;
    p.encodeVsockHeader(header, this.#header);
    return chain.write(0, this.#header);
  }
}
