import type { Agent } from "../agent/requests.ts";
import type { GuestDefaults } from "./guest-command.ts";
import type { CaptureOptions } from "./monitor-job.ts";
import type { LogEntry, LogOptions, MachineExit, MachineInfo, PhaseTiming, StopOptions } from "./types.ts";

/**
 * How a `Machine` object reaches its machine: the monitor in this process, or the control socket of one in another
 * process, or, when it has ended, the files it left.
 */
export interface MachineLink {
  readonly id: string;
  readonly name: string;
  /** Root folder of the home that it is in. */
  readonly home: string;
  readonly defaults: GuestDefaults;
  /** Grows while the machine starts and is used. */
  readonly timings: PhaseTiming[];
  /** Throws `MACHINE_NOT_RUNNING` once the machine has ended. */
  agent(): Agent;
  /** To be called when a command has ended; only monitors in this process want to know. */
  answered(): void;
  /** Turns the failure of an agent request into the error that names its reason: a panic, a stop, or itself. */
  explain(error: unknown): Promise<Error>;
  info(): Promise<MachineInfo>;
  /** How often the vCPUs left the guest, by kind; undefined where that is not known. */
  exits(): Promise<Readonly<Record<string, number>> | undefined>;
  wait(options?: { signal?: AbortSignal | undefined }): Promise<MachineExit>;
  stop(options: StopOptions): Promise<MachineExit>;
  kill(): Promise<MachineExit>;
  /** Signals the main command; the number is Linux's. */
  signal(number: number): Promise<void>;
  /** See `Machine.reset`. */
  reset(): Promise<void>;
  /** Makes a snapshot and resolves with its id. */
  snapshot(options: CaptureOptions): Promise<string>;
  /** See `Machine.limitMemory`. */
  limitMemory(limitMiB: number): Promise<number>;
  logs(options: LogOptions): AsyncIterable<LogEntry>;
  /** Deletes what is left of a machine that has ended. */
  remove(): Promise<void>;
  /** Lets go of sockets; the machine goes on, unless it lives in this process. */
  close(): void;
  /** True when the machine was made by this process and is not detached: disposing ends it. */
  readonly owned: boolean;
}
