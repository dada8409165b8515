import { SupermachineError } from "../../errors/supermachine-error.ts";
import { type Connection, type ConnectionOwner, VsockConnection } from "./connection.ts";
import { type ConnectionRequest, requestFor } from "./connection-request.ts";
import { ConnectionTable } from "./connection-table.ts";
import type { VsockHeader } from "./packet.ts";
import { FIRST_LOCAL_PORT, LAST_LOCAL_PORT } from "./state.ts";

export interface HostSocketsOptions {
  /** Connections at once, both ways together. */
  readonly maxConnections: number;
  /** Bytes of each connection that may wait for their reader. */
  readonly bufferBytes: number;
  /** Port that the first connection to the guest comes from. */
  readonly nextLocalPort: number;
  readonly owner: ConnectionOwner;
}

/** A connection to the guest that is being made. */
export interface Dialling {
  readonly opened: Promise<Connection>;
  /** Gives it up; afterwards it breaks off the connection. */
  cancel(): void;
}

/** The host's ends: who listens, and every connection. */
export class HostSockets {
  readonly #options: HostSocketsOptions;
  readonly #listeners = new Map<number, (connection: Connection) => void>();
  #onOtherRequest: ((request: ConnectionRequest) => void) | undefined;
  readonly #connections = new ConnectionTable();
  #nextLocalPort: number;
  #isClosed = false;

  constructor(options: HostSocketsOptions) {
    this.#options = options;
    this.#nextLocalPort = options.nextLocalPort;
  }

  /** Connections that exist now. */
  get size(): number {
    return this.#connections.size;
  }

  /** Port that the next connection to the guest comes from, if it is free. */
  get nextLocalPort(): number {
    return this.#nextLocalPort;
  }

  /** See `VsockDevice.listen`. */
  listen(port: number, onConnection: (connection: Connection) => void): Disposable {
    if (!Number.isInteger(port) || port < 0 || port >= FIRST_LOCAL_PORT)
      throw new RangeError(`Cannot listen on port ${port}: it is not below ${FIRST_LOCAL_PORT}`);
    if (this.#listeners.has(port)) throw new RangeError(`Somebody listens on port ${port} already`);
    this.#listeners.set(port, onConnection);
    return { [Symbol.dispose]: () => void this.#listeners.delete(port) };
  }

  /** See `VsockDevice.listenElsewhere`. */
  listenElsewhere(onRequest: (request: ConnectionRequest) => void): Disposable {
    if (this.#onOtherRequest !== undefined) throw new RangeError("Somebody listens elsewhere already");
    this.#onOtherRequest = onRequest;
    return {
      [Symbol.dispose]: () => {
        this.#onOtherRequest = undefined;
      },
    };
  }

  /** See `VsockDevice.connect`. */
  dial(port: number): Dialling {
    if (!Number.isInteger(port) || port < 0 || port >= 0xffff_ffff)
      throw new RangeError(`There is no guest port ${port}`);
    if (this.#isClosed) throw new SupermachineError("MACHINE_EXITED", `Cannot connect to guest port ${port}`);
    const { maxConnections, owner } = this.#options;
    if (this.#connections.size >= maxConnections)
      throw new SupermachineError("UNSUPPORTED", `More than ${maxConnections} connections with one machine`);
    const connection = this.#add(this.#freeLocalPort(port), port, "connecting");
    owner.sendable(connection);
    return { opened: connection.opened.then(() => connection), cancel: () => connection.cancel() };
  }

  /** The connection that a packet of the guest's belongs to. */
  get({ dstPort, srcPort }: VsockHeader): VsockConnection | undefined {
    return this.#connections.get(dstPort, srcPort);
  }

  /** Section 5.10.6.5: false, to be refused, where nobody listens, or with too many connections. */
  request(header: VsockHeader): boolean {
    const onConnection = this.#listeners.get(header.dstPort);
    const ask = this.#onOtherRequest;
    if ((onConnection ?? ask) === undefined || this.#connections.size >= this.#options.maxConnections)
      return false;
    const connection = this.#add(header.dstPort, header.srcPort, "undecided");
    connection.takeCredit(header);
    if (onConnection === undefined) ask?.(requestFor(connection));
    else {
      connection.admit();
      onConnection(connection);
    }
    return true;
  }

  /** The connection is over. */
  delete(connection: VsockConnection): void {
    this.#connections.delete(connection);
  }

  /** Breaks off all connections, without a word to the guest. */
  lose(why: string): void {
    for (const connection of [...this.#connections]) connection.lose(why);
  }

  /** No more connections to the guest. */
  close(): void {
    this.#isClosed = true;
  }

  #add(localPort: number, peerPort: number, start: "connecting" | "undecided"): VsockConnection {
    const { bufferBytes, owner } = this.#options;
    const connection = new VsockConnection({ localPort, peerPort, bufferBytes, owner }, start);
    this.#connections.add(connection);
    return connection;
  }

  #freeLocalPort(peerPort: number): number {
    let port = this.#nextLocalPort;
    while (this.#connections.get(port, peerPort) !== undefined) port = portAfter(port);
    this.#nextLocalPort = portAfter(port);
    return port;
  }
}

function portAfter(port: number): number {
  return port >= LAST_LOCAL_PORT ? FIRST_LOCAL_PORT : port + 1;
}
