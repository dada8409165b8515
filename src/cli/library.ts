import type { Writable } from "node:stream";
import type { doctor } from "../machine/doctor.ts";
import type { ImageStoreFacade } from "../machine/image.ts";
import type { MachineFiles } from "../machine/machine-files.ts";
import type { SnapshotStoreFacade } from "../machine/snapshot.ts";
import type {
  ExecOptions,
  ExecResult,
  ForkOptions,
  ListOptions,
  LogEntry,
  LogOptions,
  LookupOptions,
  MachineExit,
  MachineInfo,
  MachineOptions,
  MachineStats,
  PhaseTiming,
  RestoreOptions,
  SnapshotInfo,
  SnapshotOptions,
  StopOptions,
} from "../machine/types.ts";

/** What the command line uses of the library, as interfaces, so that tests can put something else in its place. */
export interface Library {
  readonly Machine: {
    create(image: string, options: MachineOptions): Promise<GuestMachine>;
    create(options: RestoreOptions): Promise<GuestMachine>;
    connect(nameOrId: string, options?: LookupOptions): Promise<GuestMachine>;
    list(options?: ListOptions): Promise<MachineInfo[]>;
  };
  readonly Image: ImageStoreFacade;
  /** `Snapshot`; late, because most commands do without it. */
  readonly snapshots: () => Promise<SnapshotStoreFacade>;
  readonly doctor: typeof doctor;
}

export interface GuestMachine extends AsyncDisposable {
  readonly id: string;
  readonly name: string;
  readonly timings: readonly PhaseTiming[];
  readonly files: Pick<MachineFiles, "copyIn" | "copyOut" | "readTar" | "writeTar">;
  run(argv: readonly string[], options: ExecOptions): GuestExecution;
  exec(argv: readonly string[], options: ExecOptions): GuestExecution;
  logs(options?: LogOptions): AsyncIterable<LogEntry>;
  info(): Promise<MachineInfo>;
  snapshot(name?: string, options?: SnapshotOptions): Promise<SnapshotInfo>;
  fork(
    count: number,
    options: ForkOptions,
  ): Promise<Pick<GuestMachine, "id" | "name" | typeof Symbol.asyncDispose>[]>;
  reset(): Promise<void>;
  limitMemory(memory: string): Promise<number>;
  stats(): Promise<MachineStats>;
  wait(): Promise<MachineExit>;
  stop(options?: StopOptions): Promise<MachineExit>;
  kill(): Promise<MachineExit>;
  signal(signal: string | number): Promise<void>;
  remove(options?: { force?: boolean }): Promise<void>;
}

export interface GuestExecution extends PromiseLike<Omit<ExecResult, "stdout" | "stderr">>, AsyncDisposable {
  readonly stdout: AsyncIterable<Uint8Array>;
  readonly stderr: AsyncIterable<Uint8Array>;
  readonly stdin: Writable;
  kill(signal?: string | number): Promise<void>;
  resize(size: { columns: number; rows: number }): void;
}

/** The real one. */
export async function loadLibrary(): Promise<Library> {
  const [{ Machine }, { Image }] = await Promise.all([
    import("../machine/machine.ts"),
    import("../machine/image.ts"),
  ]);
  return {
    Machine,
    Image,
    snapshots: async () => (await import("../machine/snapshot.ts")).Snapshot,
    doctor: async (options) => (await import("../machine/doctor.ts")).doctor(options),
  };
}
