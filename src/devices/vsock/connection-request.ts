import type { Connection, VsockConnection } from "./connection.ts";

/** A connection that the guest asks for; it waits until one of the two is called. */
export interface ConnectionRequest {
  /** The port on the host. */
  readonly port: number;
  accept(): Connection;
  refuse(): void;
}

export function requestFor(connection: VsockConnection): ConnectionRequest {
  return {
    port: connection.localPort,
    accept: () => {
      connection.admit();
      return connection;
    },
    refuse: () => connection.cancel(),
  };
}
