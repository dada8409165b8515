import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { action, type CommandDefinition, examples, jsonOption } from "../command-definition.ts";
import { eachName } from "../each-name.ts";

interface Options {
  force?: true;
  json?: true;
}

/** `supermachine rm` */
export const rm: CommandDefinition = { define, operands: [{ kind: "machine" }] };

function define(command: Command, cli: Cli): void {
  jsonOption(command)
    .description("Removes machines that have ended: their record, name and log. Prints each name when done.")
    .usage("[options] MACHINE...")
    .argument("<machine...>", "names or ids")
    .option("-f, --force", "kill machines that still run");
  examples(command, [
    ["rm web", "Remove one machine"],
    ["rm -f $(supermachine ps -aq)", "Remove every machine, also those that run"],
  ]);
  action<Options>(command, cli, async (names, options) => {
    const { Machine } = await cli.library();
    return eachName(cli, names, async (name) => {
      await using machine = await Machine.connect(name);
      await machine.remove({ force: options.force === true });
      return { id: machine.id };
    });
  });
}
