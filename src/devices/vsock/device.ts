// Virtio 1.2, section 5.10: socket device. Streams between the host (CID 2) and the guest, both ways.
import { GuestFault } from "../../memory/guest-fault.ts";
import type { DescriptorChain } from "../../virtio/descriptor-chain.ts";
import type { VirtioDevice, VirtioSession } from "../../virtio/device.ts";
import { vsockConfig } from "./config.ts";
import type { Connection, VsockConnection } from "./connection.ts";
import type { ConnectionRequest } from "./connection-request.ts";
import { type Dialling, HostSockets } from "./host-sockets.ts";
import { Outbox } from "./outbox.ts";
import * as p from "./packet.ts";
import { PacketReader } from "./packet-reader.ts";
import { FIRST_LOCAL_PORT, type VsockState } from "./state.ts";
import { TransportReset } from "./transport-reset.ts";

export interface VsockDeviceOptions {
  /** The guest's address: 3 or more. */
  readonly guestCid: number;
  /** Connections at once, both ways together; more are refused. Default 512. */
  readonly maxConnections?: number;
  /** Bytes of each connection that may wait for their reader on the host. Default 512 KiB. */
  readonly bufferBytes?: number;
  /**
   * Calls a task a moment later, unless what is returned is called first. The guest need not know for so long that what it sent
   * was taken: it is told with the next packet that it gets, or when many are taken, which spares it an interrupt for each.
   * Without it, the guest is told at once.
   */
  readonly later?: (task: () => void) => () => void;
  /** A saved device's, to go on with. */
  readonly state?: VsockState;
}

/** What the device has seen and done; all count up. */
export interface VsockCounters {
  /** Packets that were no packets of this guest's, or not whole. */
  readonly dropped: number;
  /** Packets answered with RST. */
  readonly refused: number;
  readonly packetsIn: number;
  readonly packetsOut: number;
}

const RX = 0;
const TX = 1;
const EVENT = 2;
const VIRTIO_VSOCK_F_STREAM: bigint = 1n << 0n;

/** At most this part of the transmit queue is taken without the guest's knowledge, so that it never waits for room. */
const untoldPart = 16;

/** Packets taken from the guest in one turn, so that it cannot keep the event loop for itself. */
const packetsPerTurn = 512;

/**
 * The socket device. Connections from the guest go to whoever listens on the port and are refused at once where nobody
 * does; connections to the guest are made with `connect`.
 *
 * @example
 * ```ts
 * const vsock = new VsockDevice({ guestCid: 3 });
 * using listener = vsock.listen(1024, (connection) => serve(connection));
 * const connection = await vsock.connect(52);
 * await connection.write(bytes);
 * for await (const piece of connection.incoming) handle(piece);
 * ```
 */
export class VsockDevice implements VirtioDevice {
  readonly name = "vsock";
  readonly type = 19;
  readonly features: bigint = VIRTIO_VSOCK_F_STREAM;
  /** Receive, transmit, event (section 5.10.2). 256: with Linux's receive buffers of 4 KiB, 1 MiB under way. */
  readonly queueSizes: readonly number[] = [256, 256, 16];
  readonly config: Uint8Array;
  readonly #sockets: HostSockets;
  readonly #reader: PacketReader;
  readonly #outbox: Outbox;
  readonly #transportReset = new TransportReset();
  readonly #later: VsockDeviceOptions["later"];
  /** Packets that the guest does not know to be taken, and how not to tell it a moment later. */
  #untold = 0;
  #cancelTelling: (() => void) | undefined;
  #session: VirtioSession | undefined;
  #transmitStopped = false;
  /** Packets are being taken or written: what comes up meanwhile is sent afterwards, together. */
  #isBusy = false;
  #packetsIn = 0;
  #dropped = 0;
  #refused = 0;

  constructor({
    guestCid,
    maxConnections = 512,
    bufferBytes = 512 * 1024,
    later,
    state,
  }: VsockDeviceOptions) {
    this.#later = later;
    this.config = vsockConfig(guestCid);
    this.#reader = new PacketReader(guestCid);
    this.#outbox = new Outbox(guestCid, this.#transportReset);
    this.#sockets = new HostSockets({
      maxConnections,
      bufferBytes,
      nextLocalPort: state?.nextLocalPort ?? FIRST_LOCAL_PORT,
      owner: {
        sendable: (connection) => this.#onSendable(connection),
        over: (connection, reset) => this.#onOver(connection, reset),
      },
    });
  }

  get counters(): VsockCounters {
    return {
      dropped: this.#dropped,
      refused: this.#refused,
      packetsIn: this.#packetsIn,
      packetsOut: this.#outbox.packets,
    };
  }

  /** Connections that exist now. */
  get connectionCount(): number {
    return this.#sockets.size;
  }

  /** Takes the guest's connections to a port until the result is disposed of; RangeError when somebody does already. */
  listen(port: number, onConnection: (connection: Connection) => void): Disposable {
    return this.#sockets.listen(port, onConnection);
  }

  /** Asks about the guest's connections to ports that nobody listens on, until the result is disposed of. */
  listenElsewhere(onRequest: (request: ConnectionRequest) => void): Disposable {
    return this.#sockets.listenElsewhere(onRequest);
  }

  /**
   * Connects to a port in the guest; waits for the guest's driver to come up. Rejects with CONNECTION_REFUSED when
   * nothing listens there, CONNECTION_LOST when the driver or the machine goes away, UNSUPPORTED for too many connections.
   */
  async connect(port: number): Promise<Connection> {
    return await this.dial(port).opened;
  }

  /** The same, for callers that do not want to wait for ever. */
  dial(port: number): Dialling {
    return this.#sockets.dial(port);
  }

  /**
   * Breaks off all connections, and tells the guest that they are gone (section 5.10.6.7): for a restored machine, whose
   * guest remembers those of the machine it was made from. New connections to the guest wait until it has dealt with it.
   */
  resetConnections(): void {
    this.#loseConnections("all connections were reset");
    const events = this.#session?.queue(EVENT);
    if (events !== undefined) this.#transportReset.announce(events);
  }

  /** The machine is over: so are its connections, and there will be no new ones. */
  close(): void {
    this.#forgetTaken();
    this.#sockets.close();
    this.#loseConnections("the machine has ended");
  }

  save(): VsockState {
    return { nextLocalPort: this.#sockets.nextLocalPort };
  }

  async settled(): Promise<void> {
    this.#tellTaken();
  }

  activate(session: VirtioSession): void {
    this.#session = session;
    this.#deliverForHost();
  }

  deactivate(): void {
    this.#session = undefined;
    this.#forgetTaken();
    this.#transportReset.forget();
    this.#transmitStopped = false;
    this.#loseConnections("the guest's driver went away");
  }

  onQueue(index: number): void {
    if (index === EVENT) this.#takeEventBuffer();
    else if (index === TX) this.#takePackets();
    this.#deliver();
    if (!this.#transmitStopped || this.#outbox.isFull) return;
    this.#transmitStopped = false;
    this.#session?.again(TX);
  }

  #takeEventBuffer(): void {
    const events = this.#session?.queue(EVENT);
    if (events !== undefined) this.#transportReset.onBuffer(events);
  }

  /** Takes what the guest sends; replies are made afterwards, so that each queue is flushed once. */
  #takePackets(): void {
    const queue = this.#session?.queue(TX);
    if (queue === undefined) return;
    this.#isBusy = true;
    let left = packetsPerTurn;
    try {
      for (; left > 0 && !this.#outbox.isFull; left--) {
        const chain = queue.pop();
        if (chain === undefined) break;
        this.#accept(chain);
        queue.complete(chain, 0);
        this.#untold++;
      }
    } finally {
      this.#isBusy = false;
    }
    if (this.#later === undefined || this.#untold * untoldPart >= queue.size) this.#tellTaken();
    else if (this.#untold > 0) this.#cancelTelling ??= this.#later(() => this.#tellTaken());
    if (this.#outbox.isFull) this.#transmitStopped = true;
    else if (left === 0) this.#session?.again(TX);
  }

  #tellTaken(): void {
    this.#forgetTaken();
    this.#session?.queue(TX)?.flush();
  }

  #forgetTaken(): void {
    this.#cancelTelling?.();
    this.#cancelTelling = undefined;
    this.#untold = 0;
  }

  #accept(chain: DescriptorChain): void {
    this.#packetsIn++;
    const header = this.#reader.header(chain);
    if (header === undefined) {
      this.#dropped++;
      return;
    }
    if (header.dstCid !== p.VSOCK_HOST_CID || header.type !== p.VIRTIO_VSOCK_TYPE_STREAM)
      return this.#refuse(header);
    const connection = this.#sockets.get(header);
    if (connection !== undefined) return connection.accept(header, this.#reader.payload(chain, header));
    if (header.op !== p.VIRTIO_VSOCK_OP_REQUEST || !this.#sockets.request(header)) this.#refuse(header);
  }

  /** Never a RST for a RST: two sides without a connection would go on for ever. */
  #refuse({ op, dstCid, dstPort, srcPort, type }: p.VsockHeader): void {
    if (op === p.VIRTIO_VSOCK_OP_RST) return;
    this.#refused++;
    this.#outbox.addReset({ srcCid: dstCid, srcPort: dstPort, dstPort: srcPort, type });
  }

  #onSendable(connection: VsockConnection): void {
    this.#outbox.add(connection);
    this.#deliverForHost();
  }

  #onOver(connection: VsockConnection, reset: boolean): void {
    this.#sockets.delete(connection);
    this.#outbox.delete(connection);
    if (!reset) return;
    this.#outbox.addReset({
      srcCid: p.VSOCK_HOST_CID,
      srcPort: connection.localPort,
      dstPort: connection.peerPort,
      type: p.VIRTIO_VSOCK_TYPE_STREAM,
    });
    this.#deliverForHost();
  }

  #loseConnections(why: string): void {
    this.#sockets.lose(why);
    this.#outbox.dropResets();
  }

  /** Fills the guest's receive buffers for as long as there are both. */
  #deliver(): void {
    const queue = this.#session?.queue(RX);
    if (queue === undefined || this.#isBusy) return;
    this.#isBusy = true;
    let left = packetsPerTurn;
    try {
      for (; left > 0 && !this.#outbox.isEmpty; left--) {
        const chain = queue.pop();
        if (chain === undefined) break;
        queue.complete(chain, this.#outbox.fill(chain));
      }
    } finally {
      this.#isBusy = false;
    }
    // One interrupt for both.
    if (left < packetsPerTurn) this.#tellTaken();
    queue.flush();
    if (left === 0) this.#session?.again(RX);
  }

  /** For calls that come from the host: memory that the guest's buffers lie in may have been taken away. */
  #deliverForHost(): void {
    try {
      this.#deliver();
    } catch (error) {
      if (!(error instanceof GuestFault)) throw error;
      this.#session?.needsReset(error.message);
    }
  }
}
