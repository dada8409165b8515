import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { AgentClient } from "../agent/client.ts";
import { duplexTransport } from "../agent/transports/duplex.ts";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { readLine } from "../streams/host/read-line.ts";
import { type ControlHello, longestLineBytes } from "./control-protocol.ts";
import type { MachineRecord } from "./machine-record.ts";
import type { CaptureOptions } from "./monitor-job.ts";
import type { MachineExit } from "./types.ts";

/** What the control socket is asked for. */
export type ControlRequest =
  | { readonly request: "wait" | "kill" }
  | { readonly request: "stop"; readonly timeoutMs?: number };

/** A monitor that is alive answers its socket at once. */
const answerMs = 5_000;

/**
 * Asks a machine's monitor, in whatever process it is. Resolves when the machine has ended.
 *
 * @throws SupermachineError `MACHINE_EXITED` when nobody is there (any more).
 */
export async function askMonitor(
  record: MachineRecord,
  request: ControlRequest,
  signal?: AbortSignal,
): Promise<MachineExit> {
  return (await ask(record, request, signal)) as MachineExit;
}

/** Has a machine's monitor signal the main command. */
export async function signalThroughMonitor(record: MachineRecord, number: number): Promise<void> {
  await ask(record, { request: "signal", signal: number });
}

/** Has a machine's monitor put the machine back to its first state. */
export async function resetThroughMonitor(record: MachineRecord): Promise<void> {
  await ask(record, { request: "reset" });
}

/** Has a machine's monitor make a snapshot; resolves with its id. */
export async function snapshotThroughMonitor(
  record: MachineRecord,
  options: CaptureOptions,
): Promise<string> {
  return String(await ask(record, { request: "snapshot", ...options }));
}

/** Has a machine's monitor limit its memory; resolves with the MiB that the guest has left. */
export async function limitMemoryThroughMonitor(record: MachineRecord, limitMiB: number): Promise<number> {
  return Number(await ask(record, { request: "memory", limitMiB }));
}

/** How often the vCPUs left the guest, by kind; undefined where the monitor cannot tell. */
export async function exitsThroughMonitor(
  record: MachineRecord,
): Promise<Readonly<Record<string, number>> | undefined> {
  const answer = await ask(record, { request: "exits" });
  return (answer as Readonly<Record<string, number>> | null) ?? undefined;
}

type OtherRequest =
  | { readonly request: "reset" | "exits" }
  | { readonly request: "memory"; readonly limitMiB: number }
  | { readonly request: "signal"; readonly signal: number }
  | ({ readonly request: "snapshot" } & CaptureOptions);

async function ask(
  record: MachineRecord,
  request: ControlRequest | OtherRequest,
  signal?: AbortSignal,
): Promise<unknown> {
  const socket = await open(record);
  const abort = () => socket.destroy();
  signal?.addEventListener("abort", abort, { once: true });
  try {
    if (signal?.aborted === true) abort();
    send(socket, { supermachine: 1, channel: "monitor", ...request });
    const answer = JSON.parse(await readLine(socket, { maxBytes: longestLineBytes })) as {
      result?: unknown;
      error?: unknown;
    };
    if (answer.result === undefined) throw SupermachineError.fromJSON(answer.error);
    return answer.result;
  } finally {
    signal?.removeEventListener("abort", abort);
    socket.destroy();
  }
}

/** Speaks to a machine's agent through its monitor. */
export async function openRemoteAgent(record: MachineRecord): Promise<AgentClient> {
  const socket = await open(record);
  try {
    send(socket, { supermachine: 1, channel: "agent" });
    const answer = JSON.parse(
      await readLine(socket, { maxBytes: longestLineBytes, timeoutMs: answerMs }),
    ) as { error?: unknown };
    if (answer.error !== undefined) throw SupermachineError.fromJSON(answer.error);
    return await AgentClient.connect(duplexTransport(socket));
  } catch (error) {
    socket.destroy();
    throw error instanceof SupermachineError ? error : noAnswer(record, error);
  }
}

function send(socket: Socket, hello: ControlHello): void {
  socket.write(`${JSON.stringify(hello)}\n`);
}

function open(record: MachineRecord): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(join(record.runDirectory, "control.sock"));
    socket.once("connect", () => resolve(socket));
    // Stays for good: a later failure is seen by whoever reads or writes.
    socket.on("error", (cause) => reject(noAnswer(record, cause)));
  });
}

function noAnswer(record: MachineRecord, cause: unknown): SupermachineError {
  const message = `The monitor of machine '${record.info.name}' does not answer`;
  return new SupermachineError("MACHINE_EXITED", message, { cause });
}
