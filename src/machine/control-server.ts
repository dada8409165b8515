import { chmodSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import type { AgentTransport } from "../agent/requests.ts";
import { duplexTransport } from "../agent/transports/duplex.ts";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { readLine } from "../streams/host/read-line.ts";
import { type ControlHello, longestLineBytes, parseHello } from "./control-protocol.ts";
import type { CaptureOptions } from "./monitor-job.ts";
import type { MachineExit, StopOptions } from "./types.ts";

/** More than anyone needs, and fewer than a process may open. */
const maxConnections = 512;
const helloTimeoutMs = 10_000;
/** How long an answer may take to leave before the connection is cut. */
const farewellMs = 1_000;

/** The part of a monitor that others may use. */
export interface Controlled {
  wait(): Promise<MachineExit>;
  stop(options: StopOptions): Promise<MachineExit>;
  kill(): Promise<MachineExit>;
  signal(number: number): Promise<void>;
  reset(): Promise<void>;
  /** Resolves with the MiB that the guest has left. */
  limitMemory(limitMiB: number): Promise<number>;
  /** Resolves with the snapshot's id. */
  snapshot(options: CaptureOptions): Promise<string>;
  /** How often the vCPUs left the guest, by kind; undefined where that is not known. */
  exits(): Readonly<Record<string, number>> | undefined;
  /** Lets somebody else speak to the agent, until the transport ends. */
  attach(transport: AgentTransport): void;
}

/** Serves a machine's control socket: see `ControlHello`. Only its owner can open it. */
export class ControlServer {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
  }

  static async listen(path: string, machine: Controlled): Promise<ControlServer> {
    const server = createServer({ allowHalfOpen: true });
    const control = new ControlServer(server);
    server.maxConnections = maxConnections;
    server.on("connection", (socket) => {
      control.#sockets.add(socket);
      socket.once("close", () => control.#sockets.delete(socket));
      // A client that breaks off is its own affair.
      socket.on("error", () => {});
      serve(socket, machine).catch(() => socket.destroy());
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, () => {
        server.off("error", reject);
        server.on("error", () => {});
        resolve();
      });
    });
    try {
      // Its folder is closed to others already; this guards a folder that somebody has opened.
      chmodSync(path, 0o600);
    } catch (error) {
      control.close();
      throw error;
    }
    return control;
  }

  /** Stops listening; answers under way are still sent. */
  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) setTimeout(() => socket.destroy(), farewellMs).unref();
  }
}

async function serve(socket: Socket, machine: Controlled): Promise<void> {
  let answer: Record<string, unknown>;
  try {
    const hello = parseHello(
      await readLine(socket, { maxBytes: longestLineBytes, timeoutMs: helloTimeoutMs }),
    );
    if (hello.channel === "agent") {
      socket.write('{"ok":true}\n');
      machine.attach(duplexTransport(socket));
      return;
    }
    answer = { result: await perform(hello, machine) };
  } catch (error) {
    const failure =
      error instanceof SupermachineError
        ? error
        : new SupermachineError("INTERNAL", "The machine's monitor failed", { cause: error });
    answer = { error: failure.toJSON() };
  }
  // Closed for both directions once it is sent: whatever a client still wants to say has no reader.
  socket.end(`${JSON.stringify(answer)}\n`, () => socket.destroy());
}

function perform(
  hello: Extract<ControlHello, { channel: "monitor" }>,
  machine: Controlled,
): Promise<MachineExit | string | number | object | null> {
  if (hello.request === "exits") return Promise.resolve(machine.exits() ?? null);
  if (hello.request === "signal") return machine.signal(hello.signal).then(() => null);
  if (hello.request === "memory") return machine.limitMemory(hello.limitMiB);
  if (hello.request === "reset") return machine.reset().then(() => null);
  if (hello.request === "snapshot") return machine.snapshot({ kind: hello.kind, labels: hello.labels });
  if (hello.request === "stop") return machine.stop({ timeoutMs: hello.timeoutMs });
  return hello.request === "kill" ? machine.kill() : machine.wait();
}
