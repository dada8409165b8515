import { PassThrough, type Writable } from "node:stream";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import type { Diagnosis } from "../../machine/doctor.ts";
import { signalName, signalNumber } from "../../machine/guest-signals.ts";
import type { ImageDetails, ImageInfo } from "../../machine/image.ts";
import type { Machine } from "../../machine/machine.ts";
import type {
  ExecOptions,
  LogEntry,
  MachineExit,
  MachineInfo,
  MachineOptions,
  RestoreOptions,
  SnapshotInfo,
} from "../../machine/types.ts";
import type { GuestExecution, GuestMachine, Library } from "../library.ts";

/** What a fake library was asked, in order, and what it shows. */
export interface FakeState {
  readonly calls: { readonly name: string; readonly args: readonly unknown[] }[];
  machines: MachineInfo[];
  images: ImageInfo[];
  snapshots: SnapshotInfo[];
  logs: LogEntry[];
  /** The main command of a machine that goes on from a snapshot. */
  main: MachineInfo["command"] | undefined;
  /** How machines end by themselves. */
  exit: MachineExit;
  diagnosis: Diagnosis;
  /** Runs before `Machine.create` resolves. */
  beforeCreate: (options: Pick<MachineOptions, "signal">) => Promise<void>;
}

/** A library without guests: "commands" are the few programs below, run in this process. */
export function fakeLibrary(changes: Partial<FakeState> = {}): { library: Library; state: FakeState } {
  const state: FakeState = {
    calls: [],
    machines: [fakeMachineInfo()],
    images: [fakeImage("docker.io/library/alpine:latest"), fakeImage("ghcr.io/owner/app:1.2")],
    snapshots: [fakeSnapshot(), fakeSnapshot({ id: "cd".repeat(32), names: [], kind: "template" })],
    logs: [],
    main: undefined,
    exit: { reason: "command", exitCode: 0 },
    diagnosis: { ok: true, engines: [], checks: [] },
    beforeCreate: async () => {},
    ...changes,
  };
  const record = (name: string, ...args: unknown[]) => void state.calls.push({ name, args });
  const library: Library = {
    Machine: {
      create: async (source: string | RestoreOptions, options: MachineOptions = {}) => {
        record("Machine.create", source, options);
        const given = typeof source === "string" ? options : source;
        await state.beforeCreate(given);
        given.signal?.throwIfAborted();
        const { command: _, ...info } = fakeMachineInfo();
        return fakeMachine(state, state.main === undefined ? info : { ...info, command: state.main });
      },
      connect: async (name) => {
        const info = state.machines.find((machine) => machine.name === name || machine.id.startsWith(name));
        if (info === undefined)
          throw new SupermachineError("MACHINE_NOT_FOUND", `There is no machine '${name}'`, {
            hint: "See 'supermachine ps -a'",
          });
        return fakeMachine(state, info);
      },
      list: async (options = {}) =>
        state.machines.filter((machine) => options.all === true || machine.state === "running"),
    },
    Image: {
      pull: async (source, options) => {
        record("Image.pull", source, options);
        return fakeDetails(source);
      },
      list: async () => state.images,
      inspect: async (reference) => {
        const found = state.images.find((image) => image.reference.includes(reference));
        if (found === undefined)
          throw new SupermachineError("IMAGE_NOT_FOUND", `There is no image '${reference}'`);
        return fakeDetails(found.reference);
      },
      remove: async (reference, options) => record("Image.remove", reference, options),
      prune: async () => ({ freedBytes: 12_345_678 }),
      prepare: async (source, options) => {
        record("Image.prepare", source, options);
        await options.warmup(fakeWarmUp(state));
        return fakeSnapshot({ kind: "warm" });
      },
      import: async (options) => {
        record("Image.import", options);
        return fakeDetails(options.name);
      },
    },
    snapshots: async () => ({
      list: async ({ all = false } = {}) => state.snapshots.filter(({ kind }) => all || kind === "snapshot"),
      inspect: async (name) => fakeFound(state, name),
      remove: async (name) => record("Snapshot.remove", fakeFound(state, name).id),
      prune: async (options) => {
        record("Snapshot.prune", options);
        const removed = options?.templates === true ? ["cd".repeat(32)] : [];
        return { removed, freedBytes: removed.length * 1_000_000 };
      },
      export: async (name, file, options) => record("Snapshot.export", name, file, options),
      import: async (file, options) => {
        record("Snapshot.import", file, options);
        return fakeSnapshot();
      },
    }),
    doctor: async () => state.diagnosis,
  };
  return { library, state };
}

export function fakeMachineInfo(changes: Partial<MachineInfo> = {}): MachineInfo {
  return {
    id: "0123456789ab",
    name: "web",
    state: "running",
    image: "docker.io/library/nginx:latest",
    imageDigest: `sha256:${"0".repeat(64)}`,
    engine: "qemu",
    accelerator: "tcg",
    kernel: "6.1.0",
    cpus: 1,
    memoryMiB: 256,
    network: "user",
    ports: [{ host: "127.0.0.1", port: 8080, guestPort: 80 }],
    command: ["nginx", "-g", "daemon off;"],
    labels: {},
    detached: true,
    createdAt: Date.now() - 125_000,
    startedAt: Date.now() - 122_000,
    pid: 1,
    timings: [],
    ...changes,
  };
}

function fakeImage(reference: string): ImageInfo {
  return {
    reference,
    digest: `sha256:${"ab".repeat(32)}`,
    platform: "linux/amd64",
    size: 3_456_789,
    pulledAt: Date.now() - 3 * 86_400_000,
  };
}

function fakeDetails(reference: string): ImageDetails {
  const config = {
    env: [],
    entrypoint: [],
    cmd: ["sh"],
    workingDir: "",
    user: "",
    stopSignal: "",
    volumes: [],
    exposedPorts: [],
    labels: {},
  };
  return { ...fakeImage(reference), config, layers: [] };
}

export function fakeSnapshot(changes: Partial<SnapshotInfo> = {}): SnapshotInfo {
  return {
    id: "ab".repeat(32),
    names: ["ready"],
    kind: "snapshot",
    image: "docker.io/library/alpine:latest",
    cpus: 2,
    memoryMiB: 256,
    kernel: "6.1.0",
    diskBytes: 23_456_789,
    inUse: false,
    labels: {},
    createdAt: Date.now() - 3 * 60_000,
    ...changes,
  };
}

/** A machine to be warmed up: a script prints itself and exits with the number it ends with. */
function fakeWarmUp(state: FakeState): Machine {
  const shell = async (script: string) => {
    state.calls.push({ name: "shell", args: [script] });
    return { exitCode: Number(/[0-9]+$/.exec(script)?.[0] ?? 0), stdout: `${script}\n`, stderr: "oops\n" };
  };
  return { shell } as unknown as Machine;
}

function fakeFound(state: FakeState, name: string): SnapshotInfo {
  const found = state.snapshots.find(({ id, names }) => names.includes(name) || id.startsWith(name));
  if (found !== undefined) return found;
  throw new SupermachineError("SNAPSHOT_NOT_FOUND", `There is no snapshot '${name}'`, {
    hint: "List them all with 'supermachine snapshots ls'",
  });
}

function fakeMachine(state: FakeState, info: MachineInfo): GuestMachine {
  const executions: FakeExecution[] = [];
  const record = (name: string, ...args: unknown[]) => void state.calls.push({ name, args });
  const execute = (name: string) => (argv: readonly string[], options: ExecOptions) => {
    record(name, argv, options);
    const execution = new FakeExecution(argv, options);
    executions.push(execution);
    return execution;
  };
  const kill = async () => {
    record("kill", info.name);
    for (const execution of executions) execution.lose();
    return { reason: "killed" } as const;
  };
  return {
    id: info.id,
    name: info.name,
    timings: [{ phase: "engine", ms: 12.3 }],
    files: {
      copyIn: async (host, guest) => record("copyIn", host, guest),
      copyOut: async (guest, host) => record("copyOut", guest, host),
      async *readTar(path) {
        record("readTar", path);
        yield Buffer.from("tar bytes");
      },
      writeTar: async (path, content) => record("writeTar", path, await text(content)),
    },
    run: execute("run"),
    exec: execute("exec"),
    async *logs(options = {}) {
      yield* state.logs;
      // Of a machine that runs on; one that was created ends by itself.
      if (options.follow === true && options.signal !== undefined)
        await new Promise<void>((resolve) => options.signal?.addEventListener("abort", () => resolve()));
    },
    info: async () => info,
    snapshot: async (name, options) => {
      record("snapshot", info.name, name, options);
      return fakeSnapshot({ names: name === undefined ? [] : [name] });
    },
    fork: async (count, options) => {
      record("fork", info.name, count, options);
      return Array.from({ length: count }, (_, index) =>
        fakeMachine(state, fakeMachineInfo({ id: `${index}`.repeat(12), name: `copy-${index}` })),
      );
    },
    reset: async () => record("reset", info.name),
    limitMemory: async (memory) => {
      record("limitMemory", info.name, memory);
      return 256;
    },
    stats: async () => ({ cpuMs: 61_000, memoryBytes: 64e6, guestMemoryBytes: 16e6, memoryMiB: 256 }),
    wait: async () => state.exit,
    stop: async (options) => {
      record("stop", info.name, options);
      return { reason: "stopped" };
    },
    kill,
    signal: async (signal) => record("signal", info.name, signal),
    remove: async (options) => record("remove", info.name, options),
    [Symbol.asyncDispose]: async () => record("dispose", info.name),
  };
}

type Outcome = Awaited<GuestExecution>;

/** A command of a fake machine, chosen by its first word. */
class FakeExecution implements GuestExecution {
  readonly stdin: PassThrough = new PassThrough();
  readonly stdout: PassThrough = new PassThrough();
  readonly stderr: PassThrough = new PassThrough();
  readonly #done: Promise<Outcome>;
  #end: (outcome: Outcome) => void = () => {};
  #fail: (error: unknown) => void = () => {};

  constructor(argv: readonly string[], options: ExecOptions) {
    this.#done = new Promise((resolve, reject) => {
      // As the connection to a real guest does, it keeps the process alive.
      const alive = setInterval(() => {}, 60_000);
      this.#end = (outcome) => {
        clearInterval(alive);
        this.stdout.end();
        this.stderr.end();
        resolve(outcome);
      };
      this.#fail = (error) => {
        clearInterval(alive);
        this.stdout.end();
        this.stderr.end();
        reject(error);
      };
      if (options.stdin !== "pipe") this.stdin.end();
      this.#perform(argv).then(
        (exitCode) => {
          if (exitCode !== undefined) this.#end({ ...ended, exitCode });
        },
        (error: unknown) => this.#fail(error),
      );
    });
    this.#done.catch(() => {});
  }

  // biome-ignore lint/suspicious/noThenProperty: the real one is awaitable as well
  then<A, B>(
    onFulfilled?: ((value: Outcome) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#done.then(onFulfilled, onRejected);
  }

  async kill(signal: string | number = "SIGTERM"): Promise<void> {
    const name = signalName(signalNumber(signal));
    this.stdout.write(`got ${name}\n`);
    if (!this.#deaf || name === "SIGKILL") this.#end({ ...ended, exitCode: undefined, signal: name });
  }

  /** The machine ends before the command does. */
  lose(): void {
    this.#fail(new SupermachineError("MACHINE_EXITED", "The machine has ended: it was killed"));
  }

  resize(size: { columns: number; rows: number }): void {
    this.stdout.write(`size ${size.columns}x${size.rows}\n`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end({ ...ended, signal: "SIGKILL", exitCode: undefined });
  }

  #deaf = false;

  /** Resolves with an exit code, or with nothing for commands that run until a signal ends them. */
  async #perform([program = "", ...args]: readonly string[]): Promise<number | undefined> {
    switch (program) {
      case "print":
        this.stdout.write(args[0] ?? "");
        this.stderr.write(args[1] ?? "");
        return Number(args[2] ?? 0);
      case "cat":
        for await (const chunk of this.stdin) if (!this.stdout.write(chunk)) await drained(this.stdout);
        return 0;
      case "wait":
        this.stdout.write("ready\n");
        return undefined;
      case "deaf":
        this.#deaf = true;
        this.stdout.write("ready\n");
        return undefined;
      case "flood":
        while (!this.stdout.writableEnded)
          if (!this.stdout.write("y\n".repeat(8192))) await drained(this.stdout);
        return undefined;
      case "crash":
        throw new Error("fake crash");
      default:
        throw new SupermachineError("COMMAND_NOT_FOUND", `There is no command '${program}' in the guest`);
    }
  }
}

const ended: Outcome = {
  exitCode: 0,
  signal: undefined,
  durationMs: 1,
  timedOut: false,
  outOfMemory: false,
};

function drained(stream: Writable): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      stream.off("drain", done).off("close", done);
      resolve();
    };
    stream.on("drain", done).on("close", done);
  });
}

async function text(content: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of content) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}
