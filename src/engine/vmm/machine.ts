import type { Duplex } from "node:stream";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import type { DescriptorWatch } from "../../sys/linux/descriptor-watch.ts";
import { ConsoleLog } from "../console-log.ts";
import type { EngineConfig, EngineExit, EngineMachine, EngineTimings, GuestDevices } from "../engine.ts";
import { agentStream } from "./agent-stream.ts";
import { type BuiltMachine, buildMachine } from "./build-machine.ts";
import { type ExitCounts, sumExits } from "./exit-counts.ts";
import { agentPort, guestDevices } from "./guest-devices.ts";
import type { VcpuEnd } from "./vcpu-protocol.ts";
import type { VcpuThread } from "./vcpu-thread.ts";
import { startVcpuThreads } from "./vcpu-threads.ts";

/** How long a vCPU's thread may take to stop before it is ended by force; it takes well below a millisecond. */
const stopGraceMs = 5000;

/** A machine whose monitor is this process. */
export class VmmMachine implements EngineMachine {
  readonly agent: Promise<Duplex>;
  readonly devices: GuestDevices = guestDevices;
  readonly exited: Promise<EngineExit>;
  readonly pid: number = process.pid;
  readonly vsockSocket: string;
  readonly #console: ConsoleLog = new ConsoleLog();
  readonly #threads: readonly VcpuThread[];
  readonly #timings: { spawnedMs?: number; consoleMs?: number } = {};
  #isKilled = false;

  /** Builds the machine and sets its vCPUs running. Throws what the system refuses; then nothing is left of it. */
  static start(config: EngineConfig, watch: DescriptorWatch): VmmMachine {
    const started = performance.now();
    const built = buildMachine(config, watch);
    try {
      return new VmmMachine(built, started);
    } catch (error) {
      built[Symbol.dispose]();
      throw error;
    }
  }

  private constructor(built: BuiltMachine, started: number) {
    this.vsockSocket = built.vsockSocket;
    this.agent = this.#awaitAgent(built);
    // It may reject before anyone looks; `exited` tells the same.
    this.agent.catch(() => {});
    this.#threads = startVcpuThreads(built, {
      onConsole: (bytes) => {
        this.#timings.consoleMs ??= performance.now() - started;
        this.#console.push(bytes);
      },
    });
    this.#timings.spawnedMs = performance.now() - started;
    this.exited = this.#watch(built);
  }

  get timings(): EngineTimings {
    return { ...this.#timings };
  }

  exitCounts(): ExitCounts {
    return sumExits(this.#threads.map((thread) => thread.exitCounts));
  }

  consoleLines(): readonly string[] {
    return this.#console.lines();
  }

  async kill(): Promise<void> {
    this.#isKilled = true;
    for (const thread of this.#threads) thread.stop();
    await this.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  /** The agent connects to us when it is ready. */
  #awaitAgent({ vsock }: BuiltMachine): Promise<Duplex> {
    return new Promise((resolve, reject) => {
      vsock.listen(agentPort, (connection) => resolve(agentStream(connection)));
      void Promise.resolve().then(() =>
        this.exited.then((exit) =>
          reject(
            new SupermachineError(
              "MACHINE_EXITED",
              `The machine ended before its agent answered: ${exit.kind}`,
            ),
          ),
        ),
      );
    });
  }

  /** The first vCPU that ends, ends the machine; everything is released before anyone hears of it. */
  async #watch(built: BuiltMachine): Promise<EngineExit> {
    const first = await Promise.race(this.#threads.map((thread) => thread.ended));
    await this.#stopThreads();
    built[Symbol.dispose]();
    return this.#explain(first);
  }

  async #stopThreads(): Promise<void> {
    for (const thread of this.#threads) thread.stop();
    const force = setTimeout(() => {
      for (const thread of this.#threads) thread.terminate();
    }, stopGraceMs);
    try {
      await Promise.all(this.#threads.map((thread) => thread.ended));
    } finally {
      clearTimeout(force);
    }
  }

  #explain(end: VcpuEnd): EngineExit {
    const console = this.#console.lines();
    if (this.#console.hasPanicked) return { kind: "panic", console };
    switch (end.kind) {
      case "stopped":
        return this.#isKilled
          ? { kind: "killed" }
          : { kind: "failed", detail: "A vCPU stopped unasked", console };
      case "power-off":
      case "reset":
        return { kind: "powered-off" };
      case "triple-fault":
        return { kind: "failed", detail: "The guest's processor shut down after a triple fault", console };
      case "failed":
        return { kind: "failed", detail: end.detail, console };
    }
  }
}
