import type { Command } from "commander";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import { MainExecution } from "../attach/main-execution.ts";
import type { Cli } from "../cli.ts";
import { action, type CommandDefinition, examples } from "../command-definition.ts";
import { type StartOptions, startedMachine, startOptions } from "../input/start-options.ts";
import type { GuestExecution, GuestMachine } from "../library.ts";
import { runForeground, type Streams, startDetached } from "../start-machine.ts";

/** `supermachine restore` */
export const restore: CommandDefinition = {
  define,
  operands: [{ kind: "snapshot" }, { kind: "none" }],
  optionValues: { "--env-file": { kind: "file" } },
  runsGuestCommand: true,
};

function define(command: Command, cli: Cli): void {
  startOptions(
    command
      .description(
        "Makes a machine that goes on from where a snapshot was made: with its processes, files and memory, and with a " +
          "name, an id and an identity of its own.\n\n" +
          "Where the main command of the snapshot's machine goes on, it is joined to this terminal (but for its " +
          "input), and a COMMAND runs beside it, as with 'supermachine exec'. Otherwise a command is run as " +
          "'supermachine run' does: the one given, or what the image is made to run. In the foreground nothing is " +
          "left when that ends; with -d the machine runs on by itself.",
      )
      .usage("[options] SNAPSHOT [COMMAND] [ARGUMENTS...]")
      .argument("<snapshot>", "name or id")
      .argument("[command...]", "command and arguments; options after the snapshot belong to the command"),
  );
  examples(command, [
    ["restore ready", "Go on from the snapshot 'ready'"],
    ["restore -it ready sh", "Look around in a copy, which is gone afterwards"],
    ["restore -d --name copy -p 8081:80 ready", "A copy in the background, with a port of its own"],
  ]);
  command.addHelpText("after", "\nExit codes: as of 'supermachine run'.");
  action<StartOptions>(command, cli, async ([snapshot = "", ...argv], options) => {
    const machineOptions = { ...startedMachine(options, cli.host), snapshot };
    if (options.detach === true) {
      const main = { detached: true, command: argv, tty: options.tty === true, remove: options.rm === true };
      return await startDetached(cli, {
        options,
        create: ({ Machine }, given) => Machine.create({ ...machineOptions, ...main, ...given }),
      });
    }
    // It has one at least; how many, is in the snapshot.
    await cli.host.prepareMachine({ cpus: 1 });
    return await runForeground(cli, {
      options,
      create: ({ Machine }, given) => Machine.create({ ...machineOptions, ...given }),
      choose: (machine) => choose(machine, { argv, options }),
    });
  });
}

/** What the foreground is: the command that goes on, another beside it, or one as of `run`. */
async function choose(
  machine: GuestMachine,
  { argv, options }: { argv: readonly string[]; options: StartOptions },
): Promise<(streams: Streams) => GuestExecution> {
  const { command: main } = await machine.info();
  if (main === undefined) return (streams) => machine.run(argv, streams);
  if (argv.length > 0) return (streams) => machine.exec(argv, streams);
  if (options.interactive === true || options.tty === true)
    throw new SupermachineError("INVALID_ARGUMENT", "The command that goes on has the input that it had", {
      hint: "Leave out -i and -t, or give a command to run beside it",
    });
  return () => new MainExecution(machine);
}
