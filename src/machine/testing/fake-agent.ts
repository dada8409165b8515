import type {
  Agent,
  AgentConnection,
  AgentExec,
  DirectoryEntry,
  ExecExit,
  ExecRequest,
  FileStat,
  GuestSetup,
} from "../../agent/requests.ts";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import { type Deferred, deferred } from "../../streams/deferred.ts";

/** What a fake command sees. Returns its exit status. */
export interface FakeProcess {
  readonly request: ExecRequest;
  print(text: string | Uint8Array, stream?: "stdout" | "stderr"): void;
  /** Everything on standard input. */
  readInput(): Promise<string>;
  /** Resolves with the first signal. */
  readonly signalled: Promise<number>;
  readonly sizes: { columns: number; rows: number }[];
}

export type FakeProgram = (process: FakeProcess) => Promise<number | { signal: number }>;

const programs: Record<string, FakeProgram> = {
  true: async () => 0,
  echo: async ({ request, print }) => {
    print(`${request.argv.slice(1).join(" ")}\n`);
    return 0;
  },
  env: async ({ request, print }) => {
    print(request.env.map((entry) => `${entry}\n`).join(""));
    return 0;
  },
  pwd: async ({ request, print }) => {
    print(`${request.cwd} ${request.user}\n`);
    return 0;
  },
  cat: async ({ print, readInput }) => {
    print(await readInput());
    return 0;
  },
  fail: async ({ print, request }) => {
    print("one\nbroken\n", "stderr");
    return Number(request.argv[1] ?? 1);
  },
  sleep: async ({ signalled }) => ({ signal: await signalled }),
  polite: async ({ signalled, print }) => {
    await signalled;
    print("bye\n");
    return 0;
  },
  deaf: () => new Promise(() => {}),
};

/** An agent in memory: a few commands, a few files, and connections that echo. */
export class FakeAgent implements Agent {
  readonly setups: GuestSetup[] = [];
  readonly requests: ExecRequest[] = [];
  readonly files: Map<string, Uint8Array> = new Map();
  readonly programs: Record<string, FakeProgram> = { ...programs };
  readonly #onShutdown: () => void;
  readonly #lost: Deferred<Error> = deferred<Error>();
  readonly #running = new Set<FakeExec>();
  #operations = 0;
  /** Told how many operations are under way: commands, and the dropping of caches. */
  onOperations: (underWay: number) => void = () => {};
  /** How often it was asked to drop its caches. */
  reclaims = 0;
  /** What it does then. */
  onReclaim: () => Promise<void> = async () => {};

  constructor(onShutdown: () => void) {
    this.#onShutdown = onShutdown;
  }

  readonly closed: Promise<Error> = this.#lost.promise;

  async setup(request: GuestSetup): Promise<void> {
    this.setups.push(request);
  }

  exec(request: ExecRequest): AgentExec {
    this.requests.push(request);
    const program = this.programs[request.argv[0] ?? ""];
    const exec = new FakeExec(request, program);
    this.#running.add(exec);
    this.#count(1);
    const leave = (): void => {
      this.#running.delete(exec);
      this.#count(-1);
    };
    exec.exit.then(leave, leave);
    return exec;
  }

  adopt(pid: number): AgentExec {
    throw new SupermachineError("UNSUPPORTED", `No parked command has process id ${pid}`);
  }

  async freeze(): Promise<void> {}
  async renew(): Promise<void> {}
  async thaw(): Promise<void> {}

  async reclaim(): Promise<void> {
    this.reclaims++;
    this.#count(1);
    try {
      await this.onReclaim();
    } finally {
      this.#count(-1);
    }
  }

  #count(change: 1 | -1): void {
    this.#operations += change;
    this.onOperations(this.#operations);
  }

  /** The connection breaks. */
  lose(): void {
    const error = new SupermachineError("MACHINE_EXITED", "The connection to the guest agent ended");
    for (const exec of this.#running) exec.fail(error);
    this.#lost.resolve(error);
  }

  async *readFile(path: string): AsyncGenerator<Uint8Array> {
    const bytes = this.files.get(path);
    if (bytes === undefined) throw noEntry(path);
    yield bytes;
  }

  async writeFile(
    path: string,
    content: AsyncIterable<Uint8Array>,
    options: { append?: boolean } = {},
  ): Promise<void> {
    const chunks = options.append === true ? [this.files.get(path) ?? new Uint8Array(0)] : [];
    for await (const chunk of content) chunks.push(chunk);
    this.files.set(path, Buffer.concat(chunks));
  }

  async stat(path: string): Promise<FileStat> {
    const bytes = this.files.get(path);
    if (bytes === undefined) throw noEntry(path);
    return { type: "file", size: bytes.length, mode: 0o644, uid: 0, gid: 0, mtimeMs: 0 };
  }

  async list(): Promise<DirectoryEntry[]> {
    return [];
  }

  async mkdir(): Promise<void> {}
  async remove(path: string): Promise<void> {
    this.files.delete(path);
  }
  async rename(): Promise<void> {}
  async chmod(): Promise<void> {}
  async chown(): Promise<void> {}
  async symlink(): Promise<void> {}
  async *readTar(): AsyncGenerator<Uint8Array> {}
  async writeTar(): Promise<void> {}

  async connect(port: number): Promise<AgentConnection> {
    if (port === 1) throw new SupermachineError("FILE_ERROR", "Connection refused");
    const echo = new ByteChannel();
    return {
      incoming: echo,
      write: async (bytes) => echo.push(bytes),
      end: async () => echo.end(),
      cancel: () => echo.end(),
    };
  }

  async shutdown(): Promise<void> {
    this.#onShutdown();
  }

  close(): void {
    this.lose();
  }
}

class FakeExec implements AgentExec {
  readonly stdout: ByteChannel = new ByteChannel();
  readonly stderr: ByteChannel = new ByteChannel();
  readonly started: Promise<number>;
  readonly exit: Promise<ExecExit>;
  readonly #exited = deferred<ExecExit>();
  readonly #signalled = deferred<number>();
  readonly #input = new ByteChannel();
  readonly #sizes: { columns: number; rows: number }[] = [];

  constructor(request: ExecRequest, program: FakeProgram | undefined) {
    this.exit = this.#exited.promise;
    this.exit.catch(() => {});
    if (program === undefined) {
      const error = new SupermachineError("COMMAND_NOT_FOUND", `No command '${request.argv[0]}'`);
      this.started = Promise.reject(error);
      this.started.catch(() => {});
      this.fail(error);
      return;
    }
    this.started = Promise.resolve(42);
    if (!request.stdin) this.#input.end();
    const process: FakeProcess = {
      request,
      print: (text, stream = "stdout") =>
        this[stream].push(typeof text === "string" ? new TextEncoder().encode(text) : text),
      readInput: async () => Buffer.concat(await collect(this.#input)).toString(),
      signalled: this.#signalled.promise,
      sizes: this.#sizes,
    };
    const timeout =
      request.timeoutMs === undefined
        ? undefined
        : setTimeout(() => this.#end({ signal: 9, timedOut: true, outOfMemory: false }), request.timeoutMs);
    void program(process).then((status) => {
      clearTimeout(timeout);
      const end = typeof status === "number" ? { exitCode: status } : status;
      this.#end({ ...end, timedOut: false, outOfMemory: false });
    });
  }

  async writeStdin(bytes: Uint8Array): Promise<void> {
    this.#input.push(bytes);
  }

  async closeStdin(): Promise<void> {
    this.#input.end();
  }

  resize(size: { columns: number; rows: number }): void {
    this.#sizes.push(size);
  }

  signal(number: number): void {
    this.#signalled.resolve(number);
    if (number === 9) this.#end({ signal: 9, timedOut: false, outOfMemory: false });
  }

  cancel(): void {
    this.fail(new SupermachineError("ABORTED", "Cancelled"));
  }

  fail(error: Error): void {
    this.#exited.reject(error);
    this.stdout.fail(error);
    this.stderr.fail(error);
  }

  #end(exit: ExecExit): void {
    this.stdout.end();
    this.stderr.end();
    this.#exited.resolve(exit);
  }
}

/** A byte stream in memory with one reader. */
export class ByteChannel implements AsyncIterable<Uint8Array> {
  readonly #chunks: Uint8Array[] = [];
  #ended = false;
  #error: Error | undefined;
  #wake: () => void = () => {};

  push(bytes: Uint8Array): void {
    this.#chunks.push(bytes);
    this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  fail(error: Error): void {
    if (!this.#ended) this.#error ??= error;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) yield chunk;
      else if (this.#error !== undefined) throw this.#error;
      else if (this.#ended) return;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return chunks;
}

function noEntry(path: string): SupermachineError {
  return new SupermachineError("FILE_ERROR", `Cannot read '${path}'`, { data: { errno: "ENOENT" } });
}
