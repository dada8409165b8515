import { setTimeout as delay } from "node:timers/promises";
import type { AgentClient } from "../agent/client.ts";
import type { Agent } from "../agent/requests.ts";
import { SupermachineError } from "../errors/supermachine-error.ts";
import {
  askMonitor,
  type ControlRequest,
  exitsThroughMonitor,
  limitMemoryThroughMonitor,
  openRemoteAgent,
  resetThroughMonitor,
  signalThroughMonitor,
  snapshotThroughMonitor,
} from "./control-client.ts";
import type { GuestDefaults } from "./guest-command.ts";
import { stillRunning } from "./local-link.ts";
import { exitError, isConnectionLoss, notRunning, within } from "./machine-end.ts";
import type { MachineLink } from "./machine-link.ts";
import { readLog } from "./machine-log.ts";
import { isLive, type MachineRecord } from "./machine-record.ts";
import type { MachineRegistry } from "./machine-registry.ts";
import type { CaptureOptions } from "./monitor-job.ts";
import type { LogEntry, LogOptions, MachineExit, MachineInfo, PhaseTiming, StopOptions } from "./types.ts";

/** A monitor that was asked to kill its machine and has not done so by then is killed itself. */
const killPatienceMs = 5_000;
const endGraceMs = 3_000;
/** Between the looks at a record whose monitor does not answer its socket. */
const pollMs = 100;

/** A machine whose monitor is in another process, or that has ended. */
export class RemoteLink implements MachineLink {
  readonly owned = false;
  readonly id: string;
  readonly name: string;
  readonly defaults: GuestDefaults;
  readonly timings: PhaseTiming[];
  readonly #registry: MachineRegistry;
  /** Or why there is none. */
  #agent: AgentClient | Error;

  private constructor(record: MachineRecord, registry: MachineRegistry, agent: AgentClient | Error) {
    this.id = record.info.id;
    this.name = record.info.name;
    this.defaults = record.defaults;
    this.timings = [...record.info.timings];
    this.#registry = registry;
    this.#agent = agent;
  }

  static async open(record: MachineRecord, registry: MachineRegistry): Promise<RemoteLink> {
    // Without an agent the machine can still be looked at, waited for, stopped and removed.
    const agent = isLive(record)
      ? await openRemoteAgent(record).catch((error: unknown) => error as Error)
      : notRunning(record.info);
    return new RemoteLink(record, registry, agent);
  }

  get home(): string {
    return this.#registry.home.root;
  }

  agent(): Agent {
    if (this.#agent instanceof Error) throw this.#agent;
    return this.#agent;
  }

  answered(): void {}

  async explain(error: unknown): Promise<Error> {
    const given = error instanceof Error ? error : new Error(String(error));
    if (!isConnectionLoss(given)) return given;
    const giveUp = new AbortController();
    const exit = await within(this.#end(giveUp.signal), endGraceMs);
    giveUp.abort();
    return exit === undefined ? given : exitError(this.name, exit, given);
  }

  async info(): Promise<MachineInfo> {
    return (await this.#record()).info;
  }

  async exits(): Promise<Readonly<Record<string, number>> | undefined> {
    const record = await this.#record();
    if (!isLive(record)) return undefined;
    // The monitor may be of a version that cannot tell.
    return await exitsThroughMonitor(record).catch(() => undefined);
  }

  async wait(options: { signal?: AbortSignal | undefined } = {}): Promise<MachineExit> {
    return this.#end(options.signal);
  }

  stop(options: StopOptions): Promise<MachineExit> {
    const { timeoutMs } = options;
    return this.#ask({ request: "stop", ...(timeoutMs === undefined ? {} : { timeoutMs }) });
  }

  async kill(): Promise<MachineExit> {
    const exit = await within(this.#ask({ request: "kill" }), killPatienceMs);
    if (exit !== undefined) return exit;
    const record = await this.#registry.read(this.id);
    if (record !== undefined && isLive(record)) {
      // Its guest dies with a detached monitor; a monitor inside somebody's program is not ours to end.
      const victim = record.config.detached ? record.owner : record.guest;
      if (victim !== undefined) process.kill(victim.pid, "SIGKILL");
    }
    return this.#end(undefined);
  }

  async signal(number: number): Promise<void> {
    await signalThroughMonitor(await this.#live(), number);
  }

  async reset(): Promise<void> {
    await resetThroughMonitor(await this.#live());
    // The monitor has let go of everyone who spoke to the agent.
    if (!(this.#agent instanceof Error)) this.#agent.close();
    this.#agent = await openRemoteAgent(await this.#live());
  }

  async snapshot(options: CaptureOptions): Promise<string> {
    return await snapshotThroughMonitor(await this.#live(), options);
  }

  async limitMemory(limitMiB: number): Promise<number> {
    return await limitMemoryThroughMonitor(await this.#live(), limitMiB);
  }

  async *logs(options: LogOptions): AsyncGenerator<LogEntry> {
    const done = new AbortController();
    const ended = options.follow === true ? this.#end(done.signal) : Promise.resolve();
    try {
      yield* readLog(this.#registry.folder(this.id), ended, options);
    } finally {
      done.abort();
    }
  }

  async remove(): Promise<void> {
    const record = await this.#registry.read(this.id);
    if (record === undefined) return;
    if (isLive(record)) throw stillRunning(this.name);
    this.#registry.remove(record);
  }

  close(): void {
    if (!(this.#agent instanceof Error)) this.#agent.close();
  }

  async #record(): Promise<MachineRecord> {
    const record = await this.#registry.read(this.id);
    if (record === undefined)
      throw new SupermachineError("MACHINE_NOT_FOUND", `The machine '${this.name}' has been removed`);
    return record;
  }

  async #live(): Promise<MachineRecord> {
    const record = await this.#record();
    if (!isLive(record)) throw notRunning(record.info);
    return record;
  }

  /** Sends a request; where nobody takes it, the machine has ended or is about to. */
  async #ask(request: ControlRequest): Promise<MachineExit> {
    const record = await this.#registry.read(this.id);
    if (record === undefined || !isLive(record)) return exitOf(record);
    try {
      return await askMonitor(record, request);
    } catch (error) {
      if (!isConnectionLoss(error)) throw error;
      return this.#end(undefined);
    }
  }

  /** How the machine ended, once it has. */
  async #end(signal: AbortSignal | undefined): Promise<MachineExit> {
    for (;;) {
      const record = await this.#registry.read(this.id);
      if (record === undefined || !isLive(record)) return exitOf(record);
      try {
        return await askMonitor(record, { request: "wait" }, signal);
      } catch (error) {
        if (signal?.aborted === true)
          throw new SupermachineError("ABORTED", "The wait was aborted", { cause: signal.reason });
        if (!isConnectionLoss(error)) throw error;
      }
      // Still being created, or gone without its last word written yet.
      await delay(pollMs);
    }
  }
}

function exitOf(record: MachineRecord | undefined): MachineExit {
  return record?.info.exit ?? { reason: "crashed", detail: "It was removed, and how it ended is not known" };
}
