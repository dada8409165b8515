import type { EventEmitter } from "node:events";
import type { Readable, Writable } from "node:stream";
import type { MachineOptions } from "../machine/types.ts";
import type { Library } from "./library.ts";
import { type Style, styleFor } from "./output/style.ts";
import { createProgressRenderer, type ProgressRenderer } from "./progress/progress-renderer.ts";

/** Our standard input: a terminal has the members of `tty.ReadStream`. */
export type CliInput = Readable & { readonly isTTY?: boolean; setRawMode?(mode: boolean): unknown };

/** Our standard output or error: a terminal has a size and emits "resize". */
export type CliOutput = Writable & {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
};

/** Everything a command touches outside itself, so that tests can run commands in their own process. */
export interface CliHost {
  readonly stdin: CliInput;
  readonly stdout: CliOutput;
  readonly stderr: CliOutput;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Emits "SIGINT" and the like. */
  readonly signals: EventEmitter;
  /** Aborted when nobody reads our output any more. */
  readonly outputClosed: AbortSignal;
  /** Ends the process at once. */
  exit(code: number): never;
  /** Starts what a machine with these options will need of this process, while the library is loaded. */
  prepareMachine(options: Pick<MachineOptions, "engine" | "cpus">): Promise<void>;
  /** Loads the library below; late, because commands such as `version` do without it. */
  loadLibrary(): Promise<Library>;
}

/** One run of the command line. */
export class Cli {
  readonly host: CliHost;
  /** Shows stacks and causes with errors. */
  debug: boolean;
  /** Errors are printed as JSON. */
  json = false;
  /** `run` and `exec` report failures with docker's codes 125 to 127. */
  runsGuestCommand = false;
  exitCode = 0;
  #progress: ProgressRenderer | undefined;
  #style: Style | undefined;

  constructor(host: CliHost) {
    this.host = host;
    this.debug = isSet(host.env["SUPERMACHINE_DEBUG"]);
  }

  /** Of standard error, which is opened for it: many commands write nothing there. */
  get style(): Style {
    this.#style ??= styleFor(this.host.stderr, this.host.env);
    return this.#style;
  }

  library(): Promise<Library> {
    return this.host.loadLibrary();
  }

  /** Result lines; everything else goes to `note` or `warn`. */
  print(text: string): void {
    this.host.stdout.write(text);
  }

  /** A value as the whole output of a `--json` command. */
  printJson(value: unknown): void {
    this.print(`${JSON.stringify(value, undefined, 2)}\n`);
  }

  /** A line for the user that is not part of the result. */
  note(line: string): void {
    if (this.#progress === undefined) this.host.stderr.write(`${line}\n`);
    else this.#progress.note(line);
  }

  /** A line about something that the user should know. */
  warn(message: string): void {
    this.note(`${this.style.yellow("supermachine: warning:")} ${message}`);
  }

  /** Starts showing progress on stderr; `endProgress` must follow before anything else writes to the terminal. */
  startProgress(options: { quiet: boolean }): ProgressRenderer {
    this.endProgress();
    const { stderr: stream, env } = this.host;
    this.#progress = createProgressRenderer({ stream, env, quiet: options.quiet, style: this.style });
    return this.#progress;
  }

  endProgress(): void {
    this.#progress?.finish();
    this.#progress = undefined;
  }
}

function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== "" && value !== "0";
}
