// Virtio 1.2, sections 5.10.6.3 (buffer space) and 5.10.6.5 (stream sockets): one connection, the device's side.
import { SupermachineError } from "../../errors/supermachine-error.ts";
import { ByteQueue } from "../../streams/byte-queue.ts";
import { deferred } from "../../streams/deferred.ts";
import { SendQueue } from "../../streams/send-queue.ts";
import * as p from "./packet.ts";

/** A byte stream between the host and a socket in the guest. */
export interface Connection {
  readonly localPort: number;
  readonly peerPort: number;
  /**
   * What the guest sends, once. What is not read is not acknowledged: then the guest stops sending. Ends when the guest
   * has sent everything, throws when the connection broke; leaving the loop early tells the guest to stop.
   */
  readonly incoming: AsyncIterable<Uint8Array>;
  /** Resolves when the guest has the bytes, which must stay as they are until then; rejects when it will not get them. */
  write(bytes: Uint8Array): Promise<void>;
  /** Nothing more will be written; resolves when the guest has been told. What it sends can still be read. */
  end(): Promise<void>;
  /** Breaks the connection off, and forgets what has not been read. */
  cancel(): void;
  /** Resolves when the connection is over: with the reason if it broke. */
  readonly closed: Promise<Error | undefined>;
}

/** What a connection wants of its device. */
export interface ConnectionOwner {
  /** There is something to send now. */
  sendable(connection: VsockConnection): void;
  /** The connection is over; `reset`: the peer is to be told with a RST. */
  over(connection: VsockConnection, reset: boolean): void;
}

export interface VsockConnectionOptions {
  readonly localPort: number;
  readonly peerPort: number;
  /** Receive buffer: how much the guest may have sent that nobody has read yet. */
  readonly bufferBytes: number;
  readonly owner: ConnectionOwner;
}

/** What a packet to the guest says, besides addresses and credit. */
export interface OutgoingPacket {
  readonly op: number;
  readonly flags: number;
  readonly payload: Uint8Array;
}

const nothing = new Uint8Array(0);

/** The state machine of one connection. It sends nothing itself: its device asks for packets when there is room. */
export class VsockConnection implements Connection {
  readonly localPort: number;
  readonly peerPort: number;
  readonly incoming: ByteQueue;
  readonly closed: Promise<Error | undefined>;
  readonly #options: VsockConnectionOptions;
  readonly #closed = deferred<Error | undefined>();
  readonly #opened = deferred<void>();
  readonly #shutdownSent = deferred<void>();
  readonly #outgoing = new SendQueue();
  #phase: "connecting" | "requested" | "undecided" | "accepting" | "open" | "closed";
  /** Why there is no connection any more. */
  #reason: Error | undefined;
  // Free-running counts of payload bytes, modulo 2^32 (section 5.10.6.3).
  #sent = 0;
  #peerForwarded = 0;
  #peerBuffer = 0;
  #received = 0;
  #forwarded = 0;
  /** `#forwarded` as the guest knows it. */
  #announced = 0;
  #owesCredit = false;
  #askedForCredit = false;
  #ended = false;
  #readerLeft = false;
  /** VIRTIO_VSOCK_SHUTDOWN_* flags that each side has sent. */
  #shutdownFlags = 0;
  #peerShutdown = 0;

  constructor(options: VsockConnectionOptions, start: "connecting" | "undecided") {
    this.#options = options;
    this.localPort = options.localPort;
    this.peerPort = options.peerPort;
    this.#phase = start;
    this.closed = this.#closed.promise;
    this.incoming = new ByteQueue({
      taken: (bytes) => this.#forward(bytes),
      abandoned: () => {
        this.#readerLeft = true;
        this.#poke();
      },
    });
  }

  /** Resolves when the guest has accepted. */
  get opened(): Promise<void> {
    return this.#opened.promise;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#reason !== undefined) throw this.#reason;
    if (this.#ended) throw new TypeError("Cannot write to a connection after its end");
    if ((this.#peerShutdown & p.VIRTIO_VSOCK_SHUTDOWN_RCV) !== 0)
      throw this.#lost("it receives nothing more");
    const written = this.#outgoing.push(bytes);
    this.#poke();
    await written;
  }

  async end(): Promise<void> {
    this.#ended = true;
    this.#poke();
    if (this.#phase !== "closed") await this.#shutdownSent.promise;
  }

  cancel(): void {
    this.#close(
      new SupermachineError("ABORTED", `The connection to guest port ${this.peerPort} was cancelled`),
      {
        reset: this.#phase !== "connecting",
      },
    );
    this.incoming.drop();
  }

  /** Accepts a connection that is undecided; one that is over stays so. */
  admit(): void {
    if (this.#phase !== "undecided") return;
    this.#phase = "accepting";
    this.#poke();
  }

  /** The device or its driver goes away; nothing can be sent to the peer any more. */
  lose(why: string): void {
    this.#close(this.#lost(why), { reset: false });
  }

  /** Bytes that the guest may have sent, and credit for them, as in every packet of ours. */
  get credit(): { readonly bufAlloc: number; readonly fwdCnt: number } {
    return { bufAlloc: this.#options.bufferBytes, fwdCnt: this.#forwarded };
  }

  /** The guest does not know of it yet. */
  get isNew(): boolean {
    return this.#phase === "connecting";
  }

  /** Whether `next` would return a packet now. */
  get isSendable(): boolean {
    if (this.#phase === "connecting" || this.#phase === "accepting") return true;
    if (this.#phase !== "open") return false;
    if (this.#owesCredit || (this.#dueShutdown & ~this.#shutdownFlags) !== 0) return true;
    return !this.#outgoing.isEmpty && (this.#peerFree > 0 || !this.#askedForCredit);
  }

  /** The next packet to send, with at most `room` bytes of payload, which must be copied before anything else. */
  next(room: number): OutgoingPacket | undefined {
    switch (this.#phase) {
      case "connecting":
        this.#phase = "requested";
        return this.#packet(p.VIRTIO_VSOCK_OP_REQUEST);
      case "accepting":
        this.#phase = "open";
        this.#opened.resolve();
        return this.#packet(p.VIRTIO_VSOCK_OP_RESPONSE);
      case "open":
        return this.#nextOfOpen(room);
      default:
        return undefined;
    }
  }

  /** Buffer space of the guest, as each of its packets says. */
  takeCredit({ bufAlloc, fwdCnt }: p.VsockHeader): void {
    this.#peerBuffer = bufAlloc;
    this.#peerForwarded = fwdCnt;
  }

  /** Takes a packet that the guest sent; its payload is ours to keep. */
  accept(header: p.VsockHeader, payload: Uint8Array): void {
    if (this.#phase === "closed") return;
    this.takeCredit(header);
    if (header.op === p.VIRTIO_VSOCK_OP_RST) return this.#onReset();
    if (this.#phase === "requested") {
      if (header.op !== p.VIRTIO_VSOCK_OP_RESPONSE) return this.#violate("answered a request wrongly");
      this.#phase = "open";
      this.#opened.resolve();
    } else if (this.#phase === "connecting") return this.#violate("answered before it was asked");
    else if (this.#phase === "undecided") return this.#violate("spoke before it was answered");
    else this.#onPacket(header, payload);
    if (this.#peerFree > 0) this.#askedForCredit = false;
    this.#poke();
  }

  #onPacket({ op, flags }: p.VsockHeader, payload: Uint8Array): void {
    switch (op) {
      case p.VIRTIO_VSOCK_OP_RW:
        return this.#onData(payload);
      case p.VIRTIO_VSOCK_OP_CREDIT_UPDATE:
        return;
      case p.VIRTIO_VSOCK_OP_CREDIT_REQUEST:
        this.#owesCredit = true;
        return;
      case p.VIRTIO_VSOCK_OP_SHUTDOWN:
        return this.#onShutdown(flags & p.VIRTIO_VSOCK_SHUTDOWN_BOTH);
      default:
        return this.#violate(`sent operation ${op} on a connection`);
    }
  }

  #onData(payload: Uint8Array): void {
    if ((this.#peerShutdown & p.VIRTIO_VSOCK_SHUTDOWN_SEND) !== 0)
      return this.#violate("sent data after its end");
    const unread = (this.#received - this.#forwarded) >>> 0;
    if (unread + payload.length > this.#options.bufferBytes)
      return this.#violate("sent more than it has credit for");
    this.#received = (this.#received + payload.length) >>> 0;
    if (payload.length > 0) this.incoming.push(payload);
  }

  /** Flags once set stay set. With both, all that is left to do is the RST that ends a clean disconnect. */
  #onShutdown(flags: number): void {
    this.#peerShutdown |= flags;
    if ((this.#peerShutdown & p.VIRTIO_VSOCK_SHUTDOWN_SEND) !== 0) this.incoming.end();
    if ((this.#peerShutdown & p.VIRTIO_VSOCK_SHUTDOWN_RCV) !== 0)
      this.#outgoing.fail(this.#lost("it receives nothing more"));
    if (this.#peerShutdown === p.VIRTIO_VSOCK_SHUTDOWN_BOTH) this.#close(undefined, { reset: true });
  }

  #onReset(): void {
    if (this.#phase === "connecting" || this.#phase === "requested")
      return this.#close(
        new SupermachineError(
          "CONNECTION_REFUSED",
          `The guest refused a connection to port ${this.peerPort}`,
          {
            data: { port: this.peerPort },
          },
        ),
        { reset: false },
      );
    const isAnswer = this.#shutdownFlags === p.VIRTIO_VSOCK_SHUTDOWN_BOTH;
    this.#close(isAnswer ? undefined : this.#lost("the guest broke it off"), { reset: false });
  }

  #nextOfOpen(room: number): OutgoingPacket | undefined {
    const payload = this.#outgoing.take(Math.min(room, this.#peerFree));
    if (payload.length > 0) {
      this.#sent = (this.#sent + payload.length) >>> 0;
      return this.#packet(p.VIRTIO_VSOCK_OP_RW, { payload });
    }
    const due = this.#dueShutdown;
    if ((due & ~this.#shutdownFlags) !== 0) {
      this.#shutdownFlags = due;
      if ((due & p.VIRTIO_VSOCK_SHUTDOWN_SEND) !== 0) this.#shutdownSent.resolve();
      return this.#packet(p.VIRTIO_VSOCK_OP_SHUTDOWN, { flags: due });
    }
    if (!this.#outgoing.isEmpty && this.#peerFree === 0 && !this.#askedForCredit) {
      this.#askedForCredit = true;
      return this.#packet(p.VIRTIO_VSOCK_OP_CREDIT_REQUEST);
    }
    return this.#owesCredit ? this.#packet(p.VIRTIO_VSOCK_OP_CREDIT_UPDATE) : undefined;
  }

  /** Every packet carries our credit. */
  #packet(op: number, { flags = 0, payload = nothing }: Partial<OutgoingPacket> = {}): OutgoingPacket {
    this.#owesCredit = false;
    this.#announced = this.#forwarded;
    return { op, flags, payload };
  }

  /** The shutdown flags to have sent by now. After both ends have ended, neither will receive any more. */
  get #dueShutdown(): number {
    const sendIsOver = this.#ended && this.#outgoing.isEmpty;
    const peerIsOver = (this.#peerShutdown & p.VIRTIO_VSOCK_SHUTDOWN_SEND) !== 0;
    return (
      (sendIsOver ? p.VIRTIO_VSOCK_SHUTDOWN_SEND : 0) |
      (this.#readerLeft || (sendIsOver && peerIsOver) ? p.VIRTIO_VSOCK_SHUTDOWN_RCV : 0)
    );
  }

  /** Section 5.10.6.3; a guest that claims to have forwarded what was never sent has no credit. */
  get #peerFree(): number {
    const underWay = (this.#sent - this.#peerForwarded) >>> 0;
    return Math.max(0, this.#peerBuffer - underWay);
  }

  /**
   * Credit is announced by three quarters of the buffer: before the guest has to wait for it, and rarely, as all packets of a
   * connection that answers carry it anyway. Linux sends no further ahead than its own buffer reaches, whatever ours could take.
   */
  #forward(bytes: number): void {
    this.#forwarded = (this.#forwarded + bytes) >>> 0;
    const unannounced = (this.#forwarded - this.#announced) >>> 0;
    const window = Math.min(this.#options.bufferBytes, this.#peerBuffer);
    if (unannounced < (window / 4) * 3) return;
    this.#owesCredit = true;
    this.#poke();
  }

  #poke(): void {
    if (this.isSendable) this.#options.owner.sendable(this);
  }

  #violate(what: string): void {
    this.#close(this.#lost(`it ${what}`), { reset: true });
  }

  #lost(why: string): SupermachineError {
    return new SupermachineError(
      "CONNECTION_LOST",
      `Connection to guest port ${this.peerPort} is lost: ${why}`,
      {
        data: { port: this.peerPort },
      },
    );
  }

  #close(error: Error | undefined, { reset }: { readonly reset: boolean }): void {
    if (this.#phase === "closed") return;
    this.#phase = "closed";
    this.#reason = error ?? this.#lost("it has ended");
    this.#outgoing.fail(this.#reason);
    this.#opened.reject(this.#reason);
    this.#shutdownSent.resolve();
    if (error === undefined) this.incoming.end();
    else this.incoming.fail(error);
    this.#closed.resolve(error);
    this.#options.owner.over(this, reset);
  }
}
