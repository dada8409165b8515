import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { action, type CommandDefinition, examples, jsonOption } from "../command-definition.ts";
import { eachName } from "../each-name.ts";

/** `supermachine kill` */
export const kill: CommandDefinition = { define, operands: [{ kind: "running-machine" }] };

function define(command: Command, cli: Cli): void {
  jsonOption(command)
    .description("Ends machines at once, without asking the guest. Prints each name when done.")
    .usage("[options] MACHINE...")
    .argument("<machine...>", "names or ids");
  examples(command, [["kill web", "End one machine"]]);
  action<{ json?: true }>(command, cli, async (names) => {
    const { Machine } = await cli.library();
    return eachName(cli, names, async (name) => {
      await using machine = await Machine.connect(name);
      return { id: machine.id, exit: await machine.kill() };
    });
  });
}
