// Virtio 1.2, section 5.10: socket device. Streams between the host (CID 2) and the guest, both ways.
import { SupermachineError } from "../../errors/supermachine-error.ts";
import { GuestFault } from "../../memory/guest-fault.ts";
import type { DescriptorChain } from "../../virtio/descriptor-chain.ts";
import type { VirtioDevice, VirtioSession } from "../../virtio/device.ts";
import type { VirtQueue } from "../../virtio/virt-queue.ts";
import { vsockConfig } from "./config.ts";
import { type Connection, type OutgoingPacket, VsockConnection } from "./connection.ts";
import { type ConnectionRequest, requestFor } from "./connection-request.ts";
import { ConnectionTable } from "./connection-table.ts";
import * as p from "./packet.ts";
import { FIRST_LOCAL_PORT, LAST_LOCAL_PORT, type VsockState } from "./state.ts";

export interface VsockDeviceOptions {
  /** The guest's address: 3 or more. */
  readonly guestCid: number;
  /** Connections at once, both ways together; more are refused. Default 512. */
  readonly maxConnections?: number;
  /** Bytes of each connection that may wait for their reader on the host. Default 256 KiB. */
  readonly bufferBytes?: number;
  /** A saved device's, to go on with. */
  readonly state?: VsockState;
}

/** A connection to the guest that is being made. */
export interface Dialling {
  readonly opened: Promise<Connection>;
  /** Gives it up; afterwards it breaks off the connection. */
  cancel(): void;
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

/** Packets taken from the guest in one turn, so that it cannot keep the event loop for itself. */
const packetsPerTurn = 512;
/** RST packets that may wait for the guest's receive buffers; with so many, no more of its packets are taken. */
const maxWaitingResets = 1024;
/** A payload longer than this is no packet: Linux sends up to 64 KiB. */
const maxPayload: number = 4 * 2 ** 20;

/** A RST for a packet that belongs to no connection. */
interface Reset {
  readonly srcCid: number;
  readonly srcPort: number;
  readonly dstPort: number;
  readonly type: number;
}

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
  readonly #guestCid: number;
  readonly #maxConnections: number;
  readonly #bufferBytes: number;
  readonly #listeners = new Map<number, (connection: Connection) => void>();
  #onOtherRequest: ((request: ConnectionRequest) => void) | undefined;
  readonly #connections = new ConnectionTable();
  /** Who has something to send, in turn. */
  readonly #sendable = new Set<VsockConnection>();
  #resets: Reset[] = [];
  #session: VirtioSession | undefined;
  #nextLocalPort: number;
  /** "due": the guest is to be told of a reset. "told": it has been, and has not dealt with it yet. */
  #transportReset: "none" | "due" | "told" = "none";
  /** Buffers for events that were there when the guest was told of the reset. */
  #otherEventBuffers = 0;
  #transmitStopped = false;
  /** Packets are being taken or written: what comes up meanwhile is sent afterwards, together. */
  #isBusy = false;
  #isClosed = false;
  readonly #header = new Uint8Array(p.VSOCK_HEADER_LENGTH);
  readonly #counters = { dropped: 0, refused: 0, packetsIn: 0, packetsOut: 0 };

  constructor({ guestCid, maxConnections = 512, bufferBytes = 256 * 1024, state }: VsockDeviceOptions) {
    this.config = vsockConfig(guestCid);
    this.#guestCid = guestCid;
    this.#maxConnections = maxConnections;
    this.#bufferBytes = bufferBytes;
    this.#nextLocalPort = state?.nextLocalPort ?? FIRST_LOCAL_PORT;
  }

  get counters(): VsockCounters {
    return { ...this.#counters };
  }

  /** Connections that exist now. */
  get connectionCount(): number {
    return this.#connections.size;
  }

  /** Takes the guest's connections to a port until the result is disposed of; RangeError when somebody does already. */
  listen(port: number, onConnection: (connection: Connection) => void): Disposable {
    if (!Number.isInteger(port) || port < 0 || port >= FIRST_LOCAL_PORT)
      throw new RangeError(`Cannot listen on port ${port}: it is not below ${FIRST_LOCAL_PORT}`);
    if (this.#listeners.has(port)) throw new RangeError(`Somebody listens on port ${port} already`);
    this.#listeners.set(port, onConnection);
    return { [Symbol.dispose]: () => void this.#listeners.delete(port) };
  }

  /** Asks about the guest's connections to ports that nobody listens on, until the result is disposed of. */
  listenElsewhere(onRequest: (request: ConnectionRequest) => void): Disposable {
    if (this.#onOtherRequest !== undefined) throw new RangeError("Somebody listens elsewhere already");
    this.#onOtherRequest = onRequest;
    return {
      [Symbol.dispose]: () => {
        this.#onOtherRequest = undefined;
      },
    };
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
    if (!Number.isInteger(port) || port < 0 || port >= 0xffff_ffff)
      throw new RangeError(`There is no guest port ${port}`);
    if (this.#isClosed) throw new SupermachineError("MACHINE_EXITED", `Cannot connect to guest port ${port}`);
    if (this.#connections.size >= this.#maxConnections)
      throw new SupermachineError(
        "UNSUPPORTED",
        `More than ${this.#maxConnections} connections with one machine`,
      );
    const connection = this.#addConnection(this.#freeLocalPort(port), port, "connecting");
    this.#setSendable(connection);
    return { opened: connection.opened.then(() => connection), cancel: () => connection.cancel() };
  }

  /**
   * Breaks off all connections, and tells the guest that they are gone (section 5.10.6.7): for a restored machine, whose
   * guest remembers those of the machine it was made from. New connections to the guest wait until it has dealt with it.
   */
  resetConnections(): void {
    this.#loseConnections("all connections were reset");
    if (this.#session?.queue(EVENT) === undefined) return;
    this.#transportReset = "due";
    this.#sendEvent();
  }

  /** The machine is over: so are its connections, and there will be no new ones. */
  close(): void {
    this.#isClosed = true;
    this.#loseConnections("the machine has ended");
  }

  save(): VsockState {
    return { nextLocalPort: this.#nextLocalPort };
  }

  activate(session: VirtioSession): void {
    this.#session = session;
    this.#guarded(() => this.#deliver());
  }

  deactivate(): void {
    this.#session = undefined;
    this.#transportReset = "none";
    this.#transmitStopped = false;
    this.#loseConnections("the guest's driver went away");
  }

  onQueue(index: number): void {
    if (index === EVENT) this.#onEventBuffer();
    else if (index === TX) this.#takePackets();
    this.#deliver();
    if (!this.#transmitStopped || this.#resets.length >= maxWaitingResets) return;
    this.#transmitStopped = false;
    this.#session?.again(TX);
  }

  /** Takes what the guest sends; replies are made afterwards, so that each queue is flushed once. */
  #takePackets(): void {
    const queue = this.#session?.queue(TX);
    if (queue === undefined) return;
    this.#isBusy = true;
    let left = packetsPerTurn;
    try {
      for (; left > 0 && this.#resets.length < maxWaitingResets; left--) {
        const chain = queue.pop();
        if (chain === undefined) break;
        this.#accept(chain);
        queue.complete(chain, 0);
      }
    } finally {
      this.#isBusy = false;
    }
    queue.flush();
    if (this.#resets.length >= maxWaitingResets) this.#transmitStopped = true;
    else if (left === 0) this.#session?.again(TX);
  }

  #accept(chain: DescriptorChain): void {
    this.#counters.packetsIn++;
    if (chain.read(0, this.#header) < p.VSOCK_HEADER_LENGTH) return this.#drop();
    const header = p.parseVsockHeader(this.#header);
    if (header.srcCid !== this.#guestCid || header.dstCid >= 2 ** 32) return this.#drop();
    // The chain may be longer than the packet, but not shorter (section 5.10.6).
    if (header.length > Math.min(chain.readableLength - p.VSOCK_HEADER_LENGTH, maxPayload))
      return this.#drop();
    if (header.dstCid !== p.VSOCK_HOST_CID || header.type !== p.VIRTIO_VSOCK_TYPE_STREAM)
      return this.#refuse(header);
    const connection = this.#connections.get(header.dstPort, header.srcPort);
    if (connection !== undefined) return connection.accept(header, payloadOf(chain, header));
    if (header.op === p.VIRTIO_VSOCK_OP_REQUEST) this.#onRequest(header);
    else this.#refuse(header);
  }

  /** Section 5.10.6.5: refused where nobody listens, or with too many connections. */
  #onRequest(header: p.VsockHeader): void {
    const onConnection = this.#listeners.get(header.dstPort);
    const ask = this.#onOtherRequest;
    if ((onConnection ?? ask) === undefined || this.#connections.size >= this.#maxConnections)
      return this.#refuse(header);
    const connection = this.#addConnection(header.dstPort, header.srcPort, "undecided");
    connection.takeCredit(header);
    if (onConnection === undefined) return ask?.(requestFor(connection));
    connection.admit();
    onConnection(connection);
  }

  #drop(): void {
    this.#counters.dropped++;
  }

  /** Never a RST for a RST: two sides without a connection would go on for ever. */
  #refuse({ op, dstCid, dstPort, srcPort, type }: p.VsockHeader): void {
    if (op === p.VIRTIO_VSOCK_OP_RST) return;
    this.#counters.refused++;
    this.#resets.push({ srcCid: dstCid, srcPort: dstPort, dstPort: srcPort, type });
  }

  #addConnection(localPort: number, peerPort: number, start: "connecting" | "undecided"): VsockConnection {
    const owner = {
      sendable: (connection: VsockConnection) => this.#setSendable(connection),
      over: (connection: VsockConnection, reset: boolean) => this.#onOver(connection, reset),
    };
    const connection = new VsockConnection(
      { localPort, peerPort, bufferBytes: this.#bufferBytes, owner },
      start,
    );
    this.#connections.add(connection);
    return connection;
  }

  #freeLocalPort(peerPort: number): number {
    let port = this.#nextLocalPort;
    while (this.#connections.get(port, peerPort) !== undefined) port = portAfter(port);
    this.#nextLocalPort = portAfter(port);
    return port;
  }

  #setSendable(connection: VsockConnection): void {
    this.#sendable.add(connection);
    this.#guarded(() => this.#deliver());
  }

  #onOver(connection: VsockConnection, reset: boolean): void {
    this.#connections.delete(connection);
    this.#sendable.delete(connection);
    if (!reset) return;
    this.#resets.push({
      srcCid: p.VSOCK_HOST_CID,
      srcPort: connection.localPort,
      dstPort: connection.peerPort,
      type: p.VIRTIO_VSOCK_TYPE_STREAM,
    });
    this.#guarded(() => this.#deliver());
  }

  #loseConnections(why: string): void {
    for (const connection of [...this.#connections]) connection.lose(why);
    this.#resets = [];
  }

  /** Fills the guest's receive buffers for as long as there are both: first the resets, then each connection in turn. */
  #deliver(): void {
    const queue = this.#session?.queue(RX);
    if (queue === undefined || this.#isBusy) return;
    this.#isBusy = true;
    let left = packetsPerTurn;
    try {
      for (; left > 0 && (this.#resets.length > 0 || this.#nextSendable() !== undefined); left--) {
        const chain = queue.pop();
        if (chain === undefined) break;
        queue.complete(chain, this.#fill(chain));
      }
    } finally {
      this.#isBusy = false;
    }
    queue.flush();
    if (left === 0) this.#session?.again(RX);
  }

  /** Writes the next packet; returns its length, 0 when the buffer is too small for it. */
  #fill(chain: DescriptorChain): number {
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
      else if (this.#transportReset === "none" || !connection.isNew) return connection;
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
    this.#counters.packetsOut++;
    p.encodeVsockHeader(header, this.#header);
    return chain.write(0, this.#header);
  }

  /**
   * Tells the guest of a transport reset as soon as it offers a buffer for that. To learn when it has dealt with it, the
   * device asks to be notified of the buffer that the driver offers next, which means looking past those already there.
   */
  #sendEvent(): void {
    const queue = this.#session?.queue(EVENT);
    const chain = queue?.pop();
    if (queue === undefined || chain === undefined) return;
    const event = new Uint8Array(4);
    new DataView(event.buffer).setUint32(0, p.VIRTIO_VSOCK_EVENT_TRANSPORT_RESET, true);
    queue.complete(chain, chain.write(0, event));
    this.#otherEventBuffers = countWaiting(queue);
    this.#transportReset = "told";
    queue.flush();
  }

  /** Also called when there is no new buffer, as after a restore: only one more than there were counts. */
  #onEventBuffer(): void {
    const queue = this.#session?.queue(EVENT);
    if (queue === undefined) return;
    if (this.#transportReset === "due") this.#sendEvent();
    else if (countWaiting(queue) > this.#otherEventBuffers) this.#transportReset = "none";
  }

  /** For calls that come from the host: memory that the guest's buffers lie in may have been taken away. */
  #guarded(action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!(error instanceof GuestFault)) throw error;
      this.#session?.needsReset(error.message);
    }
  }
}

/** How many buffers the driver has there; they stay. Makes the driver notify of the next one. */
function countWaiting(queue: VirtQueue): number {
  let count = 0;
  while (count < queue.size && queue.pop() !== undefined) count++;
  for (let left = count; left > 0; left--) queue.unpop();
  return count;
}

/** What a data packet carries; copied before anything is decided on it. */
function payloadOf(chain: DescriptorChain, { op, length }: p.VsockHeader): Uint8Array {
  const payload = new Uint8Array(op === p.VIRTIO_VSOCK_OP_RW ? length : 0);
  if (payload.length > 0) chain.read(p.VSOCK_HEADER_LENGTH, payload);
  return payload;
}

function portAfter(port: number): number {
  return port >= LAST_LOCAL_PORT ? FIRST_LOCAL_PORT : port + 1;
}
