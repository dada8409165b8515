import { createServer, type Server, type Socket } from "node:net";
import type { Agent } from "../agent/requests.ts";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { joinSocket } from "../streams/host/join-socket.ts";
import type { Forward, ForwardOptions } from "./types.ts";

const defaultMaxConnections = 256;

/** Listens on a host port and carries every connection to a port of the guest, through its agent. */
export async function openForward(agent: () => Agent, options: ForwardOptions): Promise<Forward> {
  const host = options.host ?? "127.0.0.1";
  const port = checkPort(options.port ?? 0, 0);
  const guestPort = checkPort(options.guestPort, 1);
  const sockets = new Set<Socket>();
  // allowHalfOpen: a client that has sent everything still wants the answer.
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    carry(socket, agent, guestPort).catch(() => socket.destroy());
  });
  server.maxConnections = options.maxConnections ?? defaultMaxConnections;
  await listen(server, host, port);
  const address = server.address();
  const close = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  return {
    host,
    port: typeof address === "object" && address !== null ? address.port : port,
    guestPort,
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Forwards for all of the ports, or none. */
export async function openForwards(agent: () => Agent, ports: readonly ForwardOptions[]): Promise<Forward[]> {
  const forwards: Forward[] = [];
  try {
    for (const port of ports) forwards.push(await openForward(agent, port));
    return forwards;
  } catch (error) {
    await Promise.all(forwards.map((forward) => forward.close()));
    throw error;
  }
}

function checkPort(port: number, lowest: 0 | 1): number {
  if (Number.isInteger(port) && port >= lowest && port <= 65_535) return port;
  throw new SupermachineError("INVALID_ARGUMENT", `There is no port '${port}'`, {
    hint: `Use a number from ${lowest} to 65535`,
  });
}

async function listen(server: Server, host: string, port: number): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host, port }, () => {
        server.off("error", reject);
        // An accept that fails later (too many open files) concerns one connection, not the machine.
        server.on("error", () => {});
        resolve();
      });
    });
  } catch (error) {
    throw listenError(error, host, port);
  }
}

function listenError(error: unknown, host: string, port: number): SupermachineError {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  const where = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  if (code === "EADDRINUSE")
    return new SupermachineError("PORT_IN_USE", `The host port ${where} is taken`, {
      hint: "Choose another one, or 0 for any free port",
      data: { host, port },
      cause: error,
    });
  if (code === "EACCES")
    return new SupermachineError("PERMISSION_DENIED", `The system refuses to listen on ${where}`, {
      hint: "Ports below 1024 usually need root; choose a higher one",
      cause: error,
    });
  return new SupermachineError("INVALID_ARGUMENT", `Cannot listen on ${where}`, {
    hint: "The address has to be one of this host's",
    cause: error,
  });
}

async function carry(socket: Socket, agent: () => Agent, guestPort: number): Promise<void> {
  // Before it is joined, a client that breaks off is noticed by the agent's answer.
  socket.on("error", () => {});
  await joinSocket(socket, await agent().connect(guestPort));
}
