import { SupermachineError } from "../../errors/supermachine-error.ts";
import type { Cli, CliOutput } from "../cli.ts";
import { exitCodeOf, exitCodes } from "../exit-code.ts";
import type { GuestExecution } from "../library.ts";
import { endingSignals, onEndingSignals } from "./interruption.ts";
import { rawMode } from "./raw-mode.ts";

/** How a command and this process's streams are joined. */
export interface AttachOptions {
  /** Our standard input goes to the command. */
  readonly interactive: boolean;
  readonly tty: boolean;
  /** Ends the command by force, when it does not listen to signals. */
  readonly forceKill: () => Promise<unknown>;
}

/** So many interrupts are passed on; the next one ends the command by force. */
const patientInterrupts = 2;

/**
 * Joins a running guest command with this process: streams, signals, terminal size. Resolves with the exit code once
 * all output has been handed over.
 */
export async function attach(cli: Cli, execution: GuestExecution, options: AttachOptions): Promise<number> {
  const { host } = cli;
  using cleanup = new Cleanup();
  if (options.tty && options.interactive) cleanup.add(rawMode(host.stdin));
  if (options.tty) cleanup.add(followSize(host.stdout, execution));
  const force = new AbortController();
  cleanup.add(passSignals(cli, execution, () => force.abort()));
  if (options.interactive) cleanup.add(pumpInput(cli, execution));
  const forceKill = () => void options.forceKill().catch(() => {});
  force.signal.addEventListener("abort", forceKill, { once: true });
  const onClosed = () => {
    // What a shell pipeline does to a writer that nobody reads.
    execution.kill("SIGPIPE").catch(() => {});
    setTimeout(forceKill, 1000).unref();
  };
  host.outputClosed.addEventListener("abort", onClosed, { once: true });
  cleanup.add(() => host.outputClosed.removeEventListener("abort", onClosed));

  try {
    const [, , result] = await Promise.all([
      pumpOutput(execution.stdout, host.stdout),
      pumpOutput(execution.stderr, host.stderr),
      execution,
    ]);
    if (host.outputClosed.aborted) return exitCodes.brokenPipe;
    if (result.outOfMemory)
      cli.warn("The guest killed the command for lack of memory; give the machine more with --memory");
    return exitCodeOf(result);
  } catch (error) {
    // The end of a machine that we have ended is no failure.
    if (host.outputClosed.aborted) return exitCodes.brokenPipe;
    if (force.signal.aborted) return exitCodes.killed;
    throw error;
  }
}

/** Undoes what was added, newest first, once. */
class Cleanup implements Disposable {
  readonly #steps: (() => void)[] = [];

  add(step: () => void): void {
    this.#steps.push(step);
  }

  [Symbol.dispose](): void {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) step();
  }
}

/** The terminal's size for a command that starts now. */
export function terminalSize(stream: CliOutput): { columns: number; rows: number } {
  // A terminal without a size (a serial line) says 0.
  return { columns: stream.columns || 80, rows: stream.rows || 24 };
}

/** Fails early where `-it` cannot work, as docker does. */
export function requireTerminal(cli: Cli, options: { interactive: boolean; tty: boolean }): void {
  if (options.interactive && options.tty && cli.host.stdin.isTTY !== true)
    throw new SupermachineError("INVALID_ARGUMENT", "Standard input is not a terminal", {
      hint: "Leave out -t when input comes from a pipe or a file: '-i' alone passes it on",
    });
}

function followSize(stream: CliOutput, execution: GuestExecution): () => void {
  const resize = () => execution.resize(terminalSize(stream));
  stream.on("resize", resize);
  return () => void stream.off("resize", resize);
}

function passSignals(cli: Cli, execution: GuestExecution, force: () => void): () => void {
  let interrupts = 0;
  return onEndingSignals(cli, (signal) => {
    if (signal === "SIGINT") interrupts++;
    if (interrupts > patientInterrupts) return force();
    if (signal === "SIGINT" && interrupts === patientInterrupts)
      cli.note("supermachine: press Ctrl-C once more to end the command by force");
    // The signal of a command that ends in this moment has nobody to go to.
    execution.kill(endingSignals[signal]).catch(() => {});
  });
}

/** Sends our input to the command, at the command's pace, and closes the command's input when ours ends. */
function pumpInput(cli: Cli, execution: GuestExecution): () => void {
  const { stdin } = cli.host;
  const target = execution.stdin;
  const onData = (chunk: Uint8Array) => {
    if (!target.write(chunk)) {
      stdin.pause();
      target.once("drain", () => stdin.resume());
    }
  };
  const onEnd = () => void target.end();
  const stop = () => {
    stdin.off("data", onData).off("end", onEnd).off("error", onEnd);
    stdin.pause();
  };
  // The command may close its input and run on; what we read after that has nowhere to go.
  target.on("error", stop);
  stdin.on("data", onData).on("end", onEnd).on("error", onEnd);
  return stop;
}

async function pumpOutput(source: AsyncIterable<Uint8Array>, target: CliOutput): Promise<void> {
  for await (const chunk of source) {
    if (target.destroyed || target.write(chunk)) continue;
    await new Promise<void>((resolve) => {
      const done = () => {
        target.off("drain", done).off("close", done).off("error", done);
        resolve();
      };
      target.on("drain", done).on("close", done).on("error", done);
    });
  }
}
