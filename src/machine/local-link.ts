import type { Agent } from "../agent/requests.ts";
import { SupermachineError } from "../errors/supermachine-error.ts";
import type { GuestDefaults } from "./guest-command.ts";
import type { MachineLink } from "./machine-link.ts";
import { readLog } from "./machine-log.ts";
import type { MachineRegistry } from "./machine-registry.ts";
import type { Monitor } from "./monitor.ts";
import type { CaptureOptions } from "./monitor-job.ts";
import type { LogEntry, LogOptions, MachineExit, MachineInfo, PhaseTiming, StopOptions } from "./types.ts";

/** A machine whose monitor is in this process. */
export class LocalLink implements MachineLink {
  readonly owned = true;
  readonly timings: PhaseTiming[];
  readonly #monitor: Monitor;
  readonly #registry: MachineRegistry;

  constructor(monitor: Monitor, registry: MachineRegistry) {
    this.#monitor = monitor;
    this.#registry = registry;
    this.timings = [...monitor.info.timings];
  }

  get id(): string {
    return this.#monitor.info.id;
  }

  get name(): string {
    return this.#monitor.info.name;
  }

  get home(): string {
    return this.#registry.home.root;
  }

  get defaults(): GuestDefaults {
    return this.#monitor.record.defaults;
  }

  agent(): Agent {
    return this.#monitor.agent();
  }

  answered(): void {
    this.#monitor.answered();
  }

  explain(error: unknown): Promise<Error> {
    return this.#monitor.explain(error);
  }

  async info(): Promise<MachineInfo> {
    return this.#monitor.info;
  }

  async exits(): Promise<Readonly<Record<string, number>> | undefined> {
    return this.#monitor.exits();
  }

  async wait(options: { signal?: AbortSignal | undefined } = {}): Promise<MachineExit> {
    return abortable(this.#monitor.wait(), options.signal);
  }

  stop(options: StopOptions): Promise<MachineExit> {
    return this.#monitor.stop(options);
  }

  kill(): Promise<MachineExit> {
    return this.#monitor.kill();
  }

  signal(number: number): Promise<void> {
    return this.#monitor.signal(number);
  }

  reset(): Promise<void> {
    return this.#monitor.reset();
  }

  snapshot(options: CaptureOptions): Promise<string> {
    return this.#monitor.snapshot(options);
  }

  limitMemory(limitMiB: number): Promise<number> {
    return this.#monitor.limitMemory(limitMiB);
  }

  logs(options: LogOptions): AsyncIterable<LogEntry> {
    return readLog(this.#registry.folder(this.id), this.#monitor.wait(), options);
  }

  async remove(): Promise<void> {
    if (this.#monitor.info.exit === undefined) throw stillRunning(this.name);
    this.#registry.remove(this.#monitor.record);
  }

  close(): void {}
}

/** The error for a removal that comes too early. */
export function stillRunning(name: string): SupermachineError {
  return new SupermachineError("MACHINE_RUNNING", `The machine '${name}' is running`, {
    hint: "Stop it first, or remove it by force",
  });
}

/** The promise's value, or `ABORTED` when the signal comes first; what the promise stands for goes on. */
export async function abortable<Value>(
  promise: Promise<Value>,
  signal: AbortSignal | undefined,
): Promise<Value> {
  if (signal === undefined) return promise;
  let abort: (() => void) | undefined;
  const broken = new Promise<never>((_resolve, reject) => {
    abort = () => reject(new SupermachineError("ABORTED", "The wait was aborted", { cause: signal.reason }));
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) abort();
  });
  try {
    return await Promise.race([promise, broken]);
  } finally {
    if (abort !== undefined) signal.removeEventListener("abort", abort);
  }
}
