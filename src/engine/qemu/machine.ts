import { type ChildProcess, spawn } from "node:child_process";
import type { Duplex, Readable } from "node:stream";
import { ConsoleLog } from "../console-log.ts";
import type { EngineConfig, EngineExit, EngineMachine, EngineTimings, GuestDevices } from "../engine.ts";
import { agentDescriptor, guestDevices, qemuArguments } from "./arguments.ts";
import type { QemuInstallation } from "./installation.ts";
import { withLifeline } from "./lifeline.ts";

/** How long a panicking kernel may take for its last lines. */
const panicGraceMs = 1000;
/** How long the output of an ended QEMU is waited for. */
const drainMs = 1000;

/** A machine in a QEMU process of its own. */
export class QemuMachine implements EngineMachine {
  readonly agent: Promise<Duplex>;
  readonly devices: GuestDevices;
  readonly origin = "boot";
  readonly exited: Promise<EngineExit>;
  readonly #child: ChildProcess;
  readonly #console: ConsoleLog;
  readonly #complaints = new ConsoleLog();
  readonly #timings: { spawnedMs?: number; consoleMs?: number } = {};
  #isKilled = false;

  /** Starts QEMU; resolves when the process runs, or has failed to (`exited` tells). */
  static async start(config: EngineConfig, qemu: QemuInstallation): Promise<QemuMachine> {
    const started = performance.now();
    const [file, ...args] = withLifeline([qemu.binary, ...qemuArguments(config, qemu)]);
    const child = spawn(file, args, {
      cwd: config.directory,
      stdio: ["ignore", "pipe", "pipe", "pipe"],
      // A session of its own: the interrupt key of our terminal is for the guest's command, and would end QEMU.
      detached: true,
    });
    const machine = new QemuMachine(child, { devices: guestDevices(config), started });
    await new Promise<void>((resolve) => child.once("spawn", resolve).once("error", () => resolve()));
    machine.#timings.spawnedMs = performance.now() - started;
    return machine;
  }

  private constructor(child: ChildProcess, from: { devices: GuestDevices; started: number }) {
    this.#child = child;
    this.devices = from.devices;
    this.#console = new ConsoleLog(() => {
      setTimeout(() => child.kill("SIGKILL"), panicGraceMs).unref();
    });
    child.stdout?.on("data", (chunk: Buffer) => {
      this.#timings.consoleMs ??= performance.now() - from.started;
      this.#console.push(chunk);
    });
    child.stderr?.on("data", (chunk: Buffer) => this.#complaints.push(chunk));
    const stream = child.stdio[agentDescriptor] as Duplex;
    // The peer is gone when QEMU is; `exited` tells why, so this says nothing new.
    stream.on("error", () => {});
    this.agent = Promise.resolve(stream);
    this.exited = this.#watch();
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get timings(): EngineTimings {
    return { ...this.#timings };
  }

  consoleLines(): readonly string[] {
    return this.#console.lines();
  }

  async kill(): Promise<void> {
    this.#isKilled = true;
    this.#child.kill("SIGKILL");
    await this.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  async #watch(): Promise<EngineExit> {
    const child = this.#child;
    const ended = await new Promise<{ code: number | null; signal: string | null; error?: Error }>(
      (resolve) => {
        child.once("exit", (code, signal) => resolve({ code, signal }));
        child.once("error", (error) => resolve({ code: null, signal: null, error }));
      },
    );
    await Promise.all([drained(child.stdout), drained(child.stderr)]);
    const console = this.#console.lines();
    if (this.#console.hasPanicked) return { kind: "panic", console };
    if (ended.code === 0) return { kind: "powered-off" };
    if (this.#isKilled && ended.signal === "SIGKILL") return { kind: "killed" };
    return { kind: "failed", detail: this.#failure(ended), console };
  }

  #failure(ended: { code: number | null; signal: string | null; error?: Error }): string {
    if (ended.error !== undefined) return `QEMU cannot be started: ${ended.error.message}`;
    const how = ended.signal === null ? `exited with status ${ended.code}` : `was ended by ${ended.signal}`;
    const complaints = this.#complaints.lines().slice(-5);
    return [`QEMU ${how}`, ...complaints].join("; ");
  }
}

/** Resolves at the end of a stream that is being read, or when it takes too long. */
function drained(stream: Readable | null): Promise<void> {
  return new Promise((resolve) => {
    if (stream === null || stream.closed) return resolve();
    const timer = setTimeout(resolve, drainMs);
    stream.once("close", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
