import { join } from "node:path";
import type { Agent, AgentTransport } from "../agent/requests.ts";
import type { Engine, EngineExit, EngineMachine } from "../engine/engine.ts";
import { SupermachineError } from "../errors/supermachine-error.ts";
import type { OpenAgent } from "./agent-hub.ts";
import { BootLimit } from "./boot-limit.ts";
import { captureFrozen } from "./capture-frozen.ts";
import { ControlServer } from "./control-server.ts";
import { GuestSession } from "./guest-session.ts";
import { limitGuestMemory } from "./limit-memory.ts";
import { bootError, endBehind, engineCannot, exitError, notRunning } from "./machine-end.ts";
import { MachineLog } from "./machine-log.ts";
import type { MachineRecord } from "./machine-record.ts";
import type { MachineRegistry } from "./machine-registry.ts";
import type { CaptureOptions, MonitorJob } from "./monitor-job.ts";
import { openForwards } from "./port-forward.ts";
import { RecordKeeper } from "./record-keeper.ts";
import { startEngine } from "./start-engine.ts";
import { MachineStop } from "./stop-machine.ts";
import type { Forward, MachineExit, MachineInfo, StopOptions } from "./types.ts";

/** What a monitor works with; the tests have doubles. */
export interface MonitorParts {
  readonly engine: Engine;
  readonly openAgent: OpenAgent;
  readonly registry: MachineRegistry;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs one machine: boots it, serves its control socket and published ports, runs its main command, and writes down how
 * it ended. The same code in the caller's process and in a detached one.
 */
export class Monitor {
  readonly #job: MonitorJob;
  readonly #parts: MonitorParts;
  readonly #guest: EngineMachine;
  readonly #forwards: readonly Forward[];
  readonly #keeper: RecordKeeper;
  readonly #log: MachineLog;
  readonly #session: GuestSession;
  readonly #stop: MachineStop;
  readonly #ended: Promise<MachineExit>;
  #busy: Promise<unknown> = Promise.resolve();
  /** What the last reset has ended failed with this. */
  #resetError: Error | undefined;

  private constructor(
    job: MonitorJob,
    parts: MonitorParts,
    guest: EngineMachine,
    forwards: readonly Forward[],
  ) {
    this.#job = job;
    this.#parts = parts;
    this.#guest = guest;
    this.#forwards = forwards;
    this.#log = new MachineLog(parts.registry.folder(job.record.info.id));
    const keeper = new RecordKeeper(job.record, parts.registry);
    const session = new GuestSession(job, { guest, openAgent: parts.openAgent, log: this.#log, keeper });
    this.#keeper = keeper;
    this.#session = session;
    this.#stop = new MachineStop({ guest, session, keeper });
    this.#ended = guest.exited.then((exit) => this.#finish(exit));
  }

  /**
   * Boots the machine; resolves when it takes commands. After a failure nothing of it runs any more; its record is the
   * caller's to remove.
   *
   * @throws SupermachineError `PORT_IN_USE`, `BOOT_FAILED`, `BOOT_TIMEOUT`, `GUEST_PANIC`, `ABORTED`, and those of the
   * main command.
   */
  static async start(job: MonitorJob, parts: MonitorParts): Promise<Monitor> {
    // Ports first: the likeliest failure, and cheap to find out.
    let monitor: Monitor | undefined;
    const agent = (): Agent => {
      if (monitor === undefined) throw notRunning(job.record.info);
      return monitor.agent();
    };
    const forwards = await openForwards(agent, job.record.config.ports);
    try {
      const startedAt = performance.now();
      const guest = await startEngine(job, parts);
      monitor = new Monitor(job, parts, guest, forwards);
      monitor.#keeper.addProcesses(guest);
      monitor.#keeper.addTiming("engine", startedAt, guest.timings?.phases);
    } catch (error) {
      await Promise.all(forwards.map((forward) => forward.close()));
      throw error;
    }
    try {
      await monitor.#boot();
      return monitor;
    } catch (error) {
      const exit = await endBehind(error, monitor.#guest.exited);
      await monitor.kill();
      throw exit === undefined ? error : bootError(exit);
    }
  }

  async #boot(): Promise<void> {
    const { record, bootTimeoutMs } = this.#job;
    using limit = new BootLimit(this.#guest, { timeoutMs: bootTimeoutMs, signal: this.#parts.signal });
    // While the guest works.
    const listening = ControlServer.listen(join(record.runDirectory, "control.sock"), this);
    listening.then(
      (control) => this.#ended.then(() => control.close()),
      () => {},
    );
    await this.#session.begin(limit);
    limit.check();
    await listening;
    limit.check();
    const { main } = this.#session;
    this.#keeper.update({
      state: "running",
      startedAt: Date.now(),
      ports: this.#forwards.map(({ host, port, guestPort }) => ({ host, port, guestPort })),
      ...(main === undefined ? {} : { command: main.argv }),
    });
    this.#followMain();
  }

  /** To be called when somebody's first command has ended. */
  answered(): void {
    if (this.#keeper.info.exit === undefined) this.#guest.answered?.("command");
  }

  /** Only once it is up: a command that ends at once must not end a machine that is still being started. */
  #followMain(): void {
    this.#session.followMain(() => this.#stop.stop("command"));
  }

  get record(): MachineRecord {
    return this.#keeper.record;
  }

  get info(): MachineInfo {
    const { info } = this.#keeper;
    const exits = this.exits();
    return exits === undefined ? info : { ...info, exits };
  }

  /** How often the vCPUs left the guest, by kind; undefined where the engine does not count. */
  exits(): Readonly<Record<string, number>> | undefined {
    return this.#guest.exitCounts?.();
  }

  /** Throws `MACHINE_NOT_RUNNING` before the boot and after the end. */
  agent(): Agent {
    const { hub } = this.#session;
    if (hub === undefined || this.#keeper.info.exit !== undefined) throw notRunning(this.info);
    return hub.agent;
  }

  /** Lets somebody else speak to the agent; a reset ends it. */
  attach(transport: AgentTransport): void {
    const { hub } = this.#session;
    if (hub === undefined) throw notRunning(this.info);
    hub.attach(transport);
  }

  /** Resolves when the machine has ended and its record says so. */
  wait(): Promise<MachineExit> {
    return this.#ended;
  }

  /** Orderly end; see `Machine.stop`. */
  async stop(options: StopOptions = {}): Promise<MachineExit> {
    await this.#stop.stop("stopped", options.timeoutMs);
    return this.#ended;
  }

  /** Ends the machine at once; see `Machine.kill`. */
  async kill(): Promise<MachineExit> {
    await this.#stop.kill();
    return this.#ended;
  }

  /** Signals the main command; see `Machine.signal`. */
  async signal(number: number): Promise<void> {
    const { exit, name } = this.info;
    const { main, mainExit } = this.#session;
    if (exit !== undefined || mainExit !== undefined) throw notRunning(this.info);
    if (main === undefined)
      throw new SupermachineError("INVALID_ARGUMENT", `The machine '${name}' has no main command to signal`, {
        hint: "Signal the execution that runs in it, or end the machine with kill",
      });
    main.signal(number);
  }

  /** What an agent request's failure really means: the machine's end, when that is the reason. */
  async explain(error: unknown): Promise<Error> {
    const given = error instanceof Error ? error : new Error(String(error));
    if (given === this.#resetError) return given;
    const exit = await endBehind(given, this.#guest.exited);
    return exit === undefined ? given : exitError(this.info.name, this.#stop.exitOf(exit), given);
  }

  /**
   * Returns the machine to the state in which it was when it was new, in place; see `Machine.reset`. A failure ends the
   * machine: nobody knows what state it is in.
   */
  async reset(): Promise<void> {
    const guest = this.#guest;
    if (guest.reset === undefined) throw engineCannot(this.info, "reset");
    if (this.#session.hub === undefined || this.info.exit !== undefined) throw notRunning(this.info);
    using limit = new BootLimit(guest, { timeoutMs: this.#job.bootTimeoutMs });
    await limit.race(
      this.#exclusively(async () => {
        using _ = this.#session.use();
        await guest.reset?.();
        this.#resetError = new SupermachineError(
          "MACHINE_EXITED",
          `The machine '${this.info.name}' was reset, with all that ran in it`,
        );
        this.#session.breakOff(this.#resetError);
        try {
          await this.#session.begin(limit);
        } catch (error) {
          await guest.kill();
          throw error;
        }
        this.#followMain();
      }),
    );
  }

  /**
   * Makes a snapshot of the machine, which stands still at the end; see `Machine.snapshot`. The guest's processes are
   * frozen before that: in a copy none of them runs before it has an identity of its own.
   */
  async snapshot(options: CaptureOptions): Promise<string> {
    const guest = this.#guest;
    if (guest.capture === undefined) throw engineCannot(this.info, "make snapshots of");
    return await this.#exclusively(async () => {
      using _ = this.#session.use();
      const frozen = { saved: this.#session.saved, main: () => this.#session.savedMain() };
      return await captureFrozen({ guest, agent: this.agent() }, { ...options, ...frozen });
    });
  }

  /** See `Machine.limitMemory`; resolves with what the guest has left. */
  async limitMemory(limitMiB: number): Promise<number> {
    if (this.info.exit !== undefined) throw notRunning(this.info);
    return await limitGuestMemory(this.#guest, this.info, limitMiB);
  }

  /** One at a time: a snapshot of a machine that is being reset would be of neither state. */
  async #exclusively<Value>(work: () => Promise<Value>): Promise<Value> {
    const before = this.#busy;
    const done = before.then(work, work);
    this.#busy = done.catch(() => {});
    return await done;
  }

  async #finish(engineExit: EngineExit): Promise<MachineExit> {
    const exit = this.#stop.exitOf(engineExit);
    this.#session.end();
    await Promise.all(this.#forwards.map((forward) => forward.close()));
    // Its output has arrived, or never will: the connection is closed.
    await this.#session.main?.ended.catch(() => {});
    await this.#log[Symbol.asyncDispose]();
    await Promise.resolve(this.#guest[Symbol.asyncDispose]()).catch(() => {});
    this.#keeper.end(exit);
    const { registry } = this.#parts;
    // Who is about to ask how it ended is to find the socket; who has connected is to be heard.
    await turn();
    try {
      if (this.record.config.remove) registry.remove(this.record);
      else registry.removeRunDirectory(this.record);
    } catch {
      // What cannot be removed now is found by the next who looks.
    }
    await turn();
    return exit;
  }
}

/** One turn of the event loop. */
function turn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}
