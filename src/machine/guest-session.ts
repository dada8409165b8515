import { basename } from "node:path";
import type { Agent, ExecExit } from "../agent/requests.ts";
import type { EngineMachine } from "../engine/engine.ts";
import type { AgentHub, OpenAgent } from "./agent-hub.ts";
import type { BootLimit } from "./boot-limit.ts";
import { freshIdentity } from "./guest-identity.ts";
import { IdleMemory } from "./idle-memory.ts";
import { within } from "./machine-end.ts";
import type { MachineLog } from "./machine-log.ts";
import { MainCommand } from "./main-command.ts";
import type { MonitorJob } from "./monitor-job.ts";
import type { RecordKeeper } from "./record-keeper.ts";
import type { SavedMachine } from "./saved-machine.ts";

interface SessionParts {
  readonly guest: EngineMachine;
  readonly openAgent: OpenAgent;
  readonly log: MachineLog;
  readonly keeper: RecordKeeper;
}

/**
 * What a monitor has inside its guest: the connection to the agent, the main command, and a watch on whether it is used. A
 * reset begins anew.
 */
export class GuestSession {
  readonly #job: MonitorJob;
  readonly #parts: SessionParts;
  #hub: AgentHub | undefined;
  #main: MainCommand | undefined;
  #mainExit: ExecExit | undefined;
  #operations = 0;
  #idleMemory: IdleMemory | undefined;

  constructor(job: MonitorJob, parts: SessionParts) {
    this.#job = job;
    this.#parts = parts;
  }

  /** Undefined until the guest has been set up. */
  get hub(): AgentHub | undefined {
    return this.#hub;
  }

  /** Undefined in an idle machine. */
  get main(): MainCommand | undefined {
    return this.#main;
  }

  /** How the main command has ended. */
  get mainExit(): ExecExit | undefined {
    return this.#mainExit;
  }

  /** From a guest that runs to one that takes commands, as itself and nobody else, with its main command. */
  async begin(limit: BootLimit): Promise<void> {
    const { guest, openAgent, log, keeper } = this.#parts;
    const { config, defaults } = this.#job.record;
    let phaseStart = performance.now();
    const stream = await limit.race(guest.agent);
    const hub = await limit.race(openAgent(stream, (underWay) => this.#watchUse(underWay)));
    phaseStart = keeper.addTiming("agent", phaseStart);
    const isSetUp = guest.origin === "snapshot";
    await limit.race(
      isSetUp ? hub.agent.renew(freshIdentity(this.#hostname)) : hub.agent.setup(this.#setupRequest()),
    );
    this.#hub = hub;
    keeper.addTiming("setup", phaseStart);
    guest.answered?.("setup");
    const saved = this.#job.main;
    const argv = saved?.argv ?? MainCommand.argvOf(config, defaults);
    if (saved !== undefined) this.#main = await limit.race(MainCommand.adopt(hub.agent, saved, log));
    else if (argv !== undefined) {
      await limit.race(this.#startMain(hub.agent, argv));
      guest.answered?.("command");
    }
    this.#idleMemory = this.#watchIdleMemory(hub.agent);
    this.#watchUse(this.#operations);
    // What it has done so far may have left something; a machine without one has done nothing.
    if (this.#main !== undefined) this.use()[Symbol.dispose]();
  }

  /** The guest is in use until this is disposed. */
  use(): Disposable {
    return this.#idleMemory?.hold() ?? { [Symbol.dispose]: () => {} };
  }

  /** To be called when the guest is gone. */
  end(): void {
    this.#idleMemory?.[Symbol.dispose]();
    this.#hub?.close();
  }

  /** Calls back when the main command has ended. */
  followMain(onEnd: () => Promise<void>): void {
    const main = this.#main;
    main?.ended.then(
      async (exit) => {
        // One that a reset has ended is no longer what the machine lives for.
        if (main !== this.#main) return;
        this.#mainExit = exit;
        await onEnd();
      },
      () => {},
    );
  }

  /** Ends all that is under way in a guest that was reset. */
  breakOff(reason: Error): void {
    this.#main = undefined;
    this.#idleMemory?.[Symbol.dispose]();
    this.#idleMemory = undefined;
    this.#hub?.close(reason);
  }

  /** Asks the main command to end, if it has not yet, and gives it some time. */
  async stopMain(timeoutMs: number): Promise<void> {
    if (this.#main === undefined || this.#mainExit !== undefined) return;
    this.#main.askToStop(this.#job.record.defaults.stopSignal);
    const gone = this.#main.ended.catch((): undefined => undefined);
    this.#mainExit = await within(gone, timeoutMs);
  }

  /** What a snapshot remembers of the machine, its main command apart. */
  get saved(): Omit<SavedMachine, "main"> {
    const { record, rootfs } = this.#job;
    const { image, imageDigest } = record.info;
    return { image, imageDigest, rootfs: basename(rootfs), defaults: record.defaults };
  }

  /** What a snapshot remembers of the main command, if it still runs. */
  async savedMain(): Promise<SavedMachine["main"]> {
    const main = this.#main;
    const pid = await main?.pid;
    if (main === undefined || pid === undefined || this.#mainExit !== undefined) return undefined;
    return { argv: main.argv, pid };
  }

  /** Undefined where the machine's options say no, and where the host would have nothing of it. */
  #watchIdleMemory(agent: Agent): IdleMemory | undefined {
    const { reclaimAfterMs } = this.#job.record.config;
    if (reclaimAfterMs === false || this.#parts.guest.takesFreedMemory !== true) return undefined;
    return new IdleMemory(agent, { afterMs: reclaimAfterMs });
  }

  /** The main command is no use that anybody makes of the machine. */
  #watchUse(underWay: number): void {
    this.#operations = underWay;
    this.#idleMemory?.operations(this.#main === undefined ? underWay : underWay - 1);
  }

  #setupRequest(): Parameters<Agent["setup"]>[0] {
    const { record, volumes } = this.#job;
    const { devices } = this.#parts.guest;
    return {
      modules: devices.modules,
      rootDevice: devices.rootDevice,
      dax: devices.dax,
      identity: freshIdentity(this.#hostname),
      ...(devices.network === undefined || record.config.network === "none"
        ? {}
        : { network: devices.network }),
      volumes,
    };
  }

  get #hostname(): string {
    const { record } = this.#job;
    return record.config.hostname ?? record.info.id;
  }

  async #startMain(agent: Agent, argv: readonly string[]): Promise<void> {
    const { config, defaults } = this.#job.record;
    this.#main = await MainCommand.start(agent, argv, { config, defaults, log: this.#parts.log });
  }
}
