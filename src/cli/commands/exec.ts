import type { Command } from "commander";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import type { ExecOptions } from "../../machine/types.ts";
import { attach, requireTerminal, terminalSize } from "../attach/attach.ts";
import type { Cli } from "../cli.ts";
import { action, type CommandDefinition, examples } from "../command-definition.ts";
import { exitCodeOf } from "../exit-code.ts";
import { type EnvironmentOptions, environmentOf, guestCommandOptions } from "../input/machine-options.ts";
import type { GuestMachine } from "../library.ts";

interface Options extends EnvironmentOptions {
  interactive?: true;
  tty?: true;
  detach?: true;
  workdir?: string;
  user?: string;
}

/** `supermachine exec` */
export const exec: CommandDefinition = {
  define,
  operands: [{ kind: "running-machine" }, { kind: "none" }],
  optionValues: { "--env-file": { kind: "file" } },
  runsGuestCommand: true,
};

function define(command: Command, cli: Cli): void {
  guestCommandOptions(
    command
      .description("Runs a command in a running machine, with the machine's environment, user and directory.")
      .usage("[options] MACHINE COMMAND [ARGUMENTS...]")
      .argument("<machine>", "name or id")
      .argument("<command...>", "command and arguments; options after the machine belong to the command")
      .passThroughOptions()
      .option("-d, --detach", "start the command and do not wait for it; its output is dropped"),
  );
  examples(command, [
    ["exec web ls /etc", "Run a command in the machine 'web'"],
    ["exec -it web sh", "Work in a shell there"],
    ["exec -u nobody -w /tmp web id", "As another user, in another directory"],
  ]);
  command.addHelpText(
    "after",
    "\nExit codes: as of 'supermachine run'. A signal to this process goes to the command.",
  );
  action<Options>(command, cli, async ([name = "", ...argv], options) => {
    const interactive = options.interactive === true;
    const tty = options.tty === true;
    requireTerminal(cli, { interactive, tty });
    const execOptions: ExecOptions = {
      env: environmentOf(options, cli.host),
      cwd: options.workdir,
      user: options.user,
    };
    const { Machine } = await cli.library();
    await using machine = await Machine.connect(name);
    if (options.detach === true) return await execDetached(machine, { argv, options: execOptions });
    await using execution = machine.exec(argv, {
      ...execOptions,
      stdin: interactive ? "pipe" : "none",
      tty: tty ? terminalSize(cli.host.stdout) : false,
    });
    return await attach(cli, execution, { interactive, tty, forceKill: () => execution.kill("SIGKILL") });
  });
}

/**
 * The guest's shell puts the command into the background, so that it outlives our connection; what cannot be started is
 * told while the shell is still there to tell it.
 */
async function execDetached(
  machine: GuestMachine,
  { argv, options }: { argv: readonly string[]; options: ExecOptions },
): Promise<number> {
  const script = 'command -v "$1" >/dev/null 2>&1 || exit 127; "$@" </dev/null >/dev/null 2>&1 &';
  const result = await machine.exec(["/bin/sh", "-c", script, "sh", ...argv], options);
  if (result.exitCode === 127)
    throw new SupermachineError("COMMAND_NOT_FOUND", `There is no command '${argv[0]}' in the machine`);
  return exitCodeOf(result);
}
