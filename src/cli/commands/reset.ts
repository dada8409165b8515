import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { action, type CommandDefinition, examples, jsonOption } from "../command-definition.ts";
import { eachName } from "../each-name.ts";

/** `supermachine reset` */
export const reset: CommandDefinition = { define, operands: [{ kind: "running-machine" }] };

function define(command: Command, cli: Cli): void {
  jsonOption(command)
    .description(
      "Returns machines to the state in which they were when they were new, in place: what they wrote is gone, what " +
        "runs in them ends, and the main command starts again. Prints each name when done.",
    )
    .usage("[options] MACHINE...")
    .argument("<machine...>", "names or ids");
  examples(command, [["reset worker", "Make the machine 'worker' as good as new"]]);
  action(command, cli, async (names) => {
    const { Machine } = await cli.library();
    return await eachName(cli, names, async (name) => {
      await using machine = await Machine.connect(name);
      await machine.reset();
      return undefined;
    });
  });
}
