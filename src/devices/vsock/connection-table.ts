import type { VsockConnection } from "./connection.ts";

/** Connections by their pair of ports. */
export class ConnectionTable implements Iterable<VsockConnection> {
  readonly #byLocalPort = new Map<number, Map<number, VsockConnection>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(localPort: number, peerPort: number): VsockConnection | undefined {
    return this.#byLocalPort.get(localPort)?.get(peerPort);
  }

  add(connection: VsockConnection): void {
    const { localPort, peerPort } = connection;
    const byPeerPort = this.#byLocalPort.get(localPort) ?? new Map<number, VsockConnection>();
    this.#byLocalPort.set(localPort, byPeerPort.set(peerPort, connection));
    this.#size++;
  }

  delete({ localPort, peerPort }: VsockConnection): void {
    const byPeerPort = this.#byLocalPort.get(localPort);
    if (byPeerPort?.delete(peerPort) !== true) return;
    this.#size--;
    if (byPeerPort.size === 0) this.#byLocalPort.delete(localPort);
  }

  *[Symbol.iterator](): Generator<VsockConnection, void, undefined> {
    for (const byPeerPort of this.#byLocalPort.values()) yield* byPeerPort.values();
  }
}
