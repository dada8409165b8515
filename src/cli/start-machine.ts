import type { MachineOptions } from "../machine/types.ts";
import { attach, requireTerminal, terminalSize } from "./attach/attach.ts";
import { interruptible } from "./attach/interruption.ts";
import type { Cli } from "./cli.ts";
import type { StartOptions } from "./input/start-options.ts";
import type { GuestExecution, GuestMachine, Library } from "./library.ts";
import { formatTimings } from "./output/timings.ts";

/** Makes the machine; what it is given tells the user how that goes, and whether to give it up. */
export type Create = (
  library: Library,
  given: Required<Pick<MachineOptions, "onProgress" | "onWarning" | "signal">>,
) => Promise<GuestMachine>;

/** How a command is joined to this process. */
export interface Streams {
  readonly stdin: "pipe" | "none";
  readonly tty: false | { columns: number; rows: number };
}

/** Starts a machine that runs on by itself, and prints its id. */
export async function startDetached(
  cli: Cli,
  { options, create }: { options: StartOptions; create: Create },
): Promise<undefined> {
  await using machine = await start(cli, { options, create });
  cli.print(`${machine.id}\n`);
  if (options.timings === true) await printTimings(cli, machine);
}

/**
 * Starts a machine, joins a command in it to this process, and ends the machine with the command. Returns the command's
 * exit code.
 *
 * @param foreground `choose` says what to run, once the machine is there.
 */
export async function runForeground(
  cli: Cli,
  foreground: {
    options: StartOptions;
    create: Create;
    choose: (machine: GuestMachine) => Promise<(streams: Streams) => GuestExecution>;
  },
): Promise<number> {
  const { options, create, choose } = foreground;
  const interactive = options.interactive === true;
  const tty = options.tty === true;
  requireTerminal(cli, { interactive, tty });
  await using machine = await start(cli, { options, create });
  try {
    const run = await choose(machine);
    const execution = run({
      stdin: interactive ? "pipe" : "none",
      tty: tty ? terminalSize(cli.host.stdout) : false,
    });
    const exitCode = await attach(cli, execution, { interactive, tty, forceKill: () => machine.kill() });
    if (options.timings === true) await printTimings(cli, machine);
    return exitCode;
  } finally {
    // Nothing of it is kept, so the guest need not be asked to write anything back.
    await machine.kill();
  }
}

async function start(
  cli: Cli,
  { options, create }: { options: StartOptions; create: Create },
): Promise<GuestMachine> {
  const quiet = options.quiet === true;
  // Shown once the machine is there: beside an error they would only hide what matters.
  const warnings: string[] = [];
  const onWarning = (message: string) => void warnings.push(message);
  const library = await cli.library();
  const progress = cli.startProgress({ quiet });
  const machine = await interruptible(cli, (signal) =>
    create(library, { onProgress: progress.listener, onWarning, signal }),
  );
  cli.endProgress();
  if (!quiet) for (const message of warnings) cli.warn(message);
  return machine;
}

async function printTimings(cli: Cli, machine: GuestMachine): Promise<void> {
  const info = await machine.info();
  // The clock of performance.now() starts with the process.
  cli.note(formatTimings(machine.timings, { info, totalMs: performance.now() }));
}
