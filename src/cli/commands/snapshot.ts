import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { action, type CommandDefinition, examples, jsonOption, listOption } from "../command-definition.ts";
import { labelsOf } from "../input/machine-options.ts";

interface Options {
  replace?: true;
  label?: string[];
  json?: true;
}

/** `supermachine snapshot` */
export const snapshot: CommandDefinition = {
  define,
  operands: [{ kind: "running-machine" }, { kind: "none" }],
};

function define(command: Command, cli: Cli): void {
  jsonOption(command)
    .description(
      "Makes a snapshot of a running machine: memory, files and processes. The machine stands still for a moment and " +
        "goes on. Commands that were started with 'supermachine exec' do not go on in a copy; the main command does. " +
        "Prints the snapshot's id.",
    )
    .usage("[options] MACHINE [NAME]")
    .argument("<machine>", "name or id")
    .argument("[name]", "name for the snapshot; without one it has its id")
    .option("--replace", "take the name from the snapshot that has it")
    .addOption(listOption("-l, --label <KEY=VALUE>", "attach a label to the snapshot"));
  examples(command, [
    ["snapshot web ready", "Keep the machine 'web' as it is now, as 'ready'"],
    ["snapshot --replace web ready", "The same again, with what has become of it"],
  ]);
  action<Options>(command, cli, async ([machineName = "", name], options) => {
    const { Machine } = await cli.library();
    await using machine = await Machine.connect(machineName);
    const made = await machine.snapshot(name, {
      labels: labelsOf(options.label),
      replace: options.replace === true,
    });
    if (options.json === true) cli.printJson(made);
    else cli.print(`${made.id}\n`);
    return 0;
  });
}
