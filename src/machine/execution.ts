import { Writable } from "node:stream";
import type { AgentExec, ExecRequest } from "../agent/requests.ts";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { mergeEnv } from "./guest-command.ts";
import { signalName, signalNumber } from "./guest-signals.ts";
import type { MachineLink } from "./machine-link.ts";
import { OutputStream } from "./output-stream.ts";
import type { ExecOptions, ExecResult } from "./types.ts";

const defaultMaxOutputBytes = 64 * 1024 * 1024;
/** Input is handed over in pieces, so that a large string does not become one frame. */
const inputPieceBytes = 64 * 1024;

/**
 * A command in a machine: await it for its result, or use its streams while it runs. Its output is read only when one
 * of both is done; until then a command that prints much waits.
 *
 * @example
 * ```ts
 * import { Machine } from "supermachine";
 *
 * await using machine = await Machine.create("busybox");
 * const execution = machine.exec(["sh", "-c", "for i in 1 2 3; do echo $i; done"]);
 * for await (const chunk of execution.stdout) process.stdout.write(chunk); // 1 2 3
 * console.log((await execution).exitCode); // 0
 * ```
 */
export class Execution<Output extends string | Uint8Array = string>
  implements PromiseLike<ExecResult<Output>>, AsyncDisposable
{
  /** The command's output, in pieces as they arrive. May be read once; what is read here is not in the result. */
  readonly stdout: AsyncIterable<Uint8Array>;
  /** Empty when the command runs on a terminal. */
  readonly stderr: AsyncIterable<Uint8Array>;
  readonly #exec: AgentExec;
  readonly #link: MachineLink;
  readonly #argv: readonly string[];
  readonly #options: ExecOptions;
  readonly #streams: readonly [OutputStream, OutputStream];
  readonly #startedAt = performance.now();
  readonly #stdin: Writable | undefined;
  /** Set when this side ended the command: what every reader is told instead of the stream's own failure. */
  #reason: Error | undefined;
  #result: Promise<ExecResult<Output>> | undefined;

  /** Not for callers: `machine.exec` and its relatives make executions. */
  constructor(link: MachineLink, argv: readonly string[], options: InternalExecOptions) {
    this.#link = link;
    this.#argv = argv;
    this.#options = options;
    this.#exec = startExec(link, argv, options);
    // A failure is reported to whoever awaits or reads; it must not also end the process as an unhandled rejection.
    this.#exec.exit.catch(() => {});
    this.#exec.started.catch(() => {});
    this.#streams = [this.#output("stdout"), this.#output("stderr")];
    [this.stdout, this.stderr] = this.#streams;
    if (options.stdin === "pipe") this.#stdin = stdinStream(this.#exec);
    else if (options.input !== undefined) this.#feed(options.input);
    this.#watchSignal(options.signal);
    this.#recordFirst();
  }

  /**
   * The command's standard input.
   *
   * @throws TypeError unless the command was started with `stdin: "pipe"`.
   *
   * @example
   * ```ts
   * const execution = machine.exec(["wc", "-c"], { stdin: "pipe" });
   * execution.stdin.write("12345");
   * execution.stdin.end("67890");
   * console.log((await execution).stdout); // 10
   * ```
   */
  get stdin(): Writable {
    if (this.#stdin === undefined) throw new TypeError('The command was not started with stdin: "pipe"');
    return this.#stdin;
  }

  /**
   * Process id inside the guest; rejects when the command could not be started.
   *
   * @example
   * ```ts
   * await using execution = machine.exec(["sleep", "60"]);
   * console.log((await execution.pid) > 1); // true
   * ```
   */
  get pid(): Promise<number> {
    return this.#exec.started.catch(async (error) => {
      throw await this.#explain(error);
    });
  }

  /**
   * Sends a signal to the command's process group: a name ("SIGINT", "INT") or Linux's number. Default SIGTERM.
   *
   * @throws SupermachineError `INVALID_ARGUMENT` when there is no such signal.
   *
   * @example
   * ```ts
   * const execution = machine.exec(["sleep", "60"]);
   * await execution.kill("SIGINT");
   * console.log((await execution).signal); // SIGINT
   * ```
   */
  async kill(signal: string | number = "SIGTERM"): Promise<void> {
    const number = signalNumber(signal);
    await this.pid;
    this.#exec.signal(number);
  }

  /**
   * Tells the command's terminal its new size. Does nothing without a terminal.
   *
   * @example
   * ```ts
   * const execution = machine.exec(["sh", "-c", "read line; stty size"], { tty: true, stdin: "pipe" });
   * execution.resize({ columns: 132, rows: 43 });
   * execution.stdin.end("\n");
   * console.log((await execution).stdout); // 43 132
   * ```
   */
  resize(size: { columns: number; rows: number }): void {
    if (this.#options.tty !== undefined && this.#options.tty !== false) this.#exec.resize(size);
  }

  /** What `await` calls: resolves with the result when the command has ended. */
  // biome-ignore lint/suspicious/noThenProperty: an execution is awaitable by design
  then<Fulfilled = ExecResult<Output>, Rejected = never>(
    onFulfilled?: ((result: ExecResult<Output>) => Fulfilled | PromiseLike<Fulfilled>) | null,
    onRejected?: ((reason: unknown) => Rejected | PromiseLike<Rejected>) | null,
  ): Promise<Fulfilled | Rejected> {
    this.#result ??= this.#finish();
    return this.#result.then(onFulfilled, onRejected);
  }

  /** Kills the command if it still runs, and drops its output. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#exec.cancel();
    await this.#exec.exit.catch(() => {});
  }

  async #finish(): Promise<ExecResult<Output>> {
    try {
      const [stdout, stderr] = this.#streams;
      const [out, err, exit] = await Promise.all([stdout.collect(), stderr.collect(), this.#exec.exit]);
      if (this.#reason !== undefined) throw this.#reason;
      const result: ExecResult<Output> = {
        exitCode: exit.exitCode,
        signal: exit.signal === undefined ? undefined : signalName(exit.signal),
        stdout: this.#decode(out),
        stderr: this.#decode(err),
        durationMs: performance.now() - this.#startedAt,
        timedOut: exit.timedOut,
        outOfMemory: exit.outOfMemory,
      };
      if (this.#options.check === true && result.exitCode !== 0) throw execFailed(this.#argv, result);
      return result;
    } catch (error) {
      throw await this.#explain(error);
    }
  }

  #decode(bytes: Uint8Array): Output {
    // The overloads of exec tie Output to the encoding; the compiler can not see that here.
    return (this.#options.encoding === "buffer" ? bytes : new TextDecoder().decode(bytes)) as Output;
  }

  #output(name: "stdout" | "stderr"): OutputStream {
    return new OutputStream(this.#exec[name], {
      name,
      limit: this.#options.maxOutputBytes ?? defaultMaxOutputBytes,
      // Whoever reads only one stream must not wait forever for a command that is stuck writing to the other.
      onTaken: () => {
        for (const stream of this.#streams) if (!stream.taken) stream.startCollecting().catch(() => {});
      },
      onOverflow: (error) => this.#end(error),
      explain: (error) => this.#explain(error),
    });
  }

  async #explain(error: unknown): Promise<Error> {
    return this.#reason ?? (await this.#link.explain(error));
  }

  #end(reason: Error): void {
    this.#reason ??= reason;
    this.#exec.cancel();
  }

  #watchSignal(signal: AbortSignal | undefined): void {
    if (signal === undefined) return;
    const abort = () =>
      this.#end(
        new SupermachineError("ABORTED", `The command '${this.#argv[0]}' was aborted`, {
          cause: signal.reason,
        }),
      );
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    const forget = () => signal.removeEventListener("abort", abort);
    this.#exec.exit.then(forget, forget);
  }

  #feed(input: NonNullable<ExecOptions["input"]>): void {
    feed(this.#exec, input).catch((error: unknown) => {
      // A command that does not read all of its input (head) is no failure.
      if (!isClosedPipe(error)) this.#end(error instanceof Error ? error : new Error(String(error)));
    });
  }

  #recordFirst(): void {
    const { timings } = this.#link;
    this.#exec.exit.then(
      () => this.#link.answered(),
      () => {},
    );
    if (!this.#link.owned || timings.some(({ phase }) => phase === "first exec")) return;
    const record = () => {
      if (!timings.some(({ phase }) => phase === "first exec"))
        timings.push({ phase: "first exec", ms: performance.now() - this.#startedAt });
    };
    this.#exec.exit.then(record, () => {});
  }
}

/** `createCwd` is for an image's own WorkingDir only: a directory that the caller names has to exist. */
export interface InternalExecOptions extends ExecOptions {
  createCwd?: boolean;
}

function startExec(link: MachineLink, argv: readonly string[], options: InternalExecOptions): AgentExec {
  try {
    return link.agent().exec(execRequest(link, argv, options));
  } catch (error) {
    return failedExec(error);
  }
}

function execRequest(link: MachineLink, argv: readonly string[], options: InternalExecOptions): ExecRequest {
  if (!Array.isArray(argv) || argv.length === 0)
    throw new TypeError("A command is a list of at least one string; use machine.shell for a script");
  for (const word of [...argv, ...Object.entries(options.env ?? {}).flat()])
    if (typeof word !== "string" || word.includes("\0"))
      throw new TypeError("A command's arguments and environment are strings without NUL characters");
  if (options.stdin === "pipe" && options.input !== undefined)
    throw new TypeError('A command gets its input from "input" or through a pipe, not both');
  const { defaults } = link;
  const size = options.tty === true ? { columns: 80, rows: 24 } : options.tty;
  const terminal = size === undefined || size === false ? undefined : size;
  const env = mergeEnv(defaults.env, options.env ?? {});
  if (terminal !== undefined && !env.some((entry) => entry.startsWith("TERM="))) env.push("TERM=xterm");
  return {
    argv,
    env,
    cwd: options.cwd ?? defaults.workingDir,
    createCwd: options.cwd === undefined,
    user: options.user ?? defaults.user,
    stdin: options.stdin === "pipe" || options.input !== undefined,
    ...(terminal === undefined ? {} : { tty: terminal }),
    ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
  };
}

/** Stands for a command that was never sent, so that the failure arrives where the caller looks for it. */
function failedExec(error: unknown): AgentExec {
  const failure = Promise.reject(error);
  failure.catch(() => {});
  const nothing: AsyncIterable<Uint8Array> = {
    [Symbol.asyncIterator]: () => ({ next: () => failure }),
  };
  return {
    started: failure,
    stdout: nothing,
    stderr: nothing,
    writeStdin: () => failure,
    closeStdin: () => failure,
    resize: () => {},
    signal: () => {},
    exit: failure,
    cancel: () => {},
  };
}

async function feed(exec: AgentExec, input: NonNullable<ExecOptions["input"]>): Promise<void> {
  const encoder = new TextEncoder();
  if (typeof input === "string") await writePieces(exec, encoder.encode(input));
  else if (input instanceof Uint8Array) await writePieces(exec, input);
  else
    for await (const chunk of input)
      await writePieces(exec, typeof chunk === "string" ? encoder.encode(chunk) : chunk);
  await exec.closeStdin();
}

async function writePieces(exec: AgentExec, bytes: Uint8Array): Promise<void> {
  for (let offset = 0; offset < bytes.length; offset += inputPieceBytes)
    await exec.writeStdin(bytes.subarray(offset, offset + inputPieceBytes));
}

function stdinStream(exec: AgentExec): Writable {
  const stream = new Writable({
    write: (chunk: Uint8Array, _encoding, done) => settle(writePieces(exec, chunk), done),
    final: (done) => settle(exec.closeStdin(), done),
  });
  // A command that stops reading ends its input; only a writer that looks for it needs to know.
  stream.on("error", () => {});
  return stream;
}

function settle(promise: Promise<void>, done: (error?: Error | null) => void): void {
  promise.then(
    () => done(),
    (error: unknown) => done(isClosedPipe(error) ? brokenPipe() : (error as Error)),
  );
}

function brokenPipe(): Error {
  return Object.assign(new Error("The command has closed its standard input"), { code: "EPIPE" });
}

function isClosedPipe(error: unknown): boolean {
  return error instanceof SupermachineError && error.data["errno"] === "EPIPE";
}

function execFailed(argv: readonly string[], result: ExecResult<string | Uint8Array>): SupermachineError {
  const how = result.timedOut
    ? "ran into its time limit"
    : result.outOfMemory
      ? "was killed for lack of memory"
      : result.signal !== undefined
        ? `was ended by ${result.signal}`
        : `exited with ${result.exitCode}`;
  const { stdout, stderr } = result;
  const lastLine =
    typeof stderr === "string" ? (stderr.trimEnd().split("\n").at(-1) ?? "").slice(0, 200) : "";
  return new SupermachineError(
    "EXEC_FAILED",
    `The command '${argv.join(" ").slice(0, 200)}' ${how}${lastLine === "" ? "" : `: ${lastLine}`}`,
    {
      data: {
        argv,
        exitCode: result.exitCode,
        signal: result.signal,
        timedOut: result.timedOut,
        outOfMemory: result.outOfMemory,
        ...(typeof stdout === "string" ? { stdout, stderr } : {}),
      },
    },
  );
}
