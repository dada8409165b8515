import { chmodSync, closeSync, openSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { dirname } from "node:path";
import type { ConnectionRequest } from "../../devices/vsock/connection-request.ts";
import type { VsockDevice } from "../../devices/vsock/device.ts";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import { joinSocket } from "../../streams/host/join-socket.ts";
import { readLine } from "../../streams/host/read-line.ts";

/** In the machine's folder. */
export const vsockSocketName = "vsock.sock";

/** "CONNECT 4294967295" and a carriage return. */
const longestLineBytes = 19;
const lineTimeoutMs = 10_000;
/** A guest whose driver is up answers at once. */
const answerTimeoutMs = 10_000;
/** Clients that may be connected at once; the device has a limit of its own for what reaches the guest. */
const maxClients = 512;

/**
 * The guest's sockets as Unix sockets of the host, with Firecracker's convention. A client of `path` writes the line
 * `CONNECT <port>`; once something in the guest accepts there it reads `OK <local port>`, and from then on the bytes are
 * the guest's. A connection that is refused is closed. When the guest connects to port P of the host, it reaches the
 * Unix socket `<path>_P`, if somebody listens there.
 */
export class VsockSocket implements Disposable {
  readonly #path: string;
  readonly #vsock: VsockDevice;
  readonly #server: Server;
  readonly #sockets: Set<Socket> = new Set();
  readonly #elsewhere: Disposable;

  /** Only the user of this process can open the socket. @throws SupermachineError `BOOT_FAILED`. */
  constructor(path: string, vsock: VsockDevice) {
    this.#path = path;
    this.#vsock = vsock;
    // allowHalfOpen: a client that has sent everything still wants the answer.
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      this.#add(socket);
      this.#toGuest(socket).catch(() => socket.destroy());
    });
    this.#server.maxConnections = maxClients;
    // An accept that fails later (too many open files) concerns one connection, not the machine.
    this.#server.on("error", () => {});
    // Longer ones would be cut off: sun_path holds 108 bytes with its final NUL (unix(7)).
    if (Buffer.byteLength(path) > 107) throw cannotListen(path, "ENAMETOOLONG");
    // A Unix socket is bound before `listen` returns, if the server is exclusive to this process.
    this.#server.listen({ path, exclusive: true });
    if (!this.#server.listening) throw cannotListen(path, reasonNotToListen(path));
    // Its folder is closed to others already; this guards a folder that somebody has opened.
    chmodSync(path, 0o600);
    this.#elsewhere = vsock.listenElsewhere((request) => this.#fromGuest(request));
  }

  /** Stops listening and breaks off what is connected. */
  [Symbol.dispose](): void {
    this.#elsewhere[Symbol.dispose]();
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  async #toGuest(socket: Socket): Promise<void> {
    const line = await readLine(socket, { maxBytes: longestLineBytes, timeoutMs: lineTimeoutMs });
    const dialling = this.#vsock.dial(parseRequest(line));
    const giveUp = setTimeout(() => dialling.cancel(), answerTimeoutMs);
    const connection = await dialling.opened.finally(() => clearTimeout(giveUp));
    if (socket.destroyed) return connection.cancel();
    socket.write(`OK ${connection.localPort}\n`);
    await joinSocket(socket, connection);
  }

  #fromGuest(request: ConnectionRequest): void {
    const socket = connect({ path: `${this.#path}_${request.port}`, allowHalfOpen: true });
    this.#add(socket);
    const refuse = (): void => request.refuse();
    socket.once("error", refuse);
    socket.once("connect", () => {
      socket.off("error", refuse);
      joinSocket(socket, request.accept()).catch(() => socket.destroy());
    });
  }

  #add(socket: Socket): void {
    this.#sockets.add(socket);
    // One that breaks off is its own affair.
    socket.on("error", () => {});
    socket.once("close", () => this.#sockets.delete(socket));
  }
}

function parseRequest(line: string): number {
  const port = Number(/^CONNECT ([0-9]{1,10})\r?$/.exec(line)?.[1]);
  if (port < 0xffff_ffff) return port;
  throw new SupermachineError("INVALID_ARGUMENT", "The request is not 'CONNECT' and a port");
}

function cannotListen(path: string, errno: string): SupermachineError {
  return new SupermachineError("BOOT_FAILED", `Cannot listen on '${path}': ${errno}`, { data: { errno } });
}

/** The server says why in an event, which is too late. Nearly always its folder cannot be opened for the same reason. */
function reasonNotToListen(path: string): string {
  try {
    closeSync(openSync(dirname(path), "r"));
    return "EADDRINUSE";
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : "EIO";
  }
}
