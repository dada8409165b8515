import type { Command } from "commander";
import type { Cli } from "../../cli.ts";
import { action, type CommandDefinition, examples, jsonOption } from "../../command-definition.ts";
import { eachName } from "../../each-name.ts";

/** `supermachine snapshots rm` */
export const rm: CommandDefinition = { define, operands: [{ kind: "snapshot" }] };

function define(command: Command, cli: Cli): void {
  jsonOption(command)
    .description(
      "Removes snapshots, with their names. One that a machine uses, or that another is based on, stays. Prints each " +
        "name when done.",
    )
    .usage("[options] SNAPSHOT...")
    .argument("<snapshot...>", "names or ids");
  examples(command, [
    ["snapshots rm ready", "Remove one"],
    [
      "snapshots rm $(supermachine snapshots ls -q)",
      "Remove every one that was made by hand or by a warm-up",
    ],
  ]);
  action(command, cli, async (names) => {
    const Snapshot = await (await cli.library()).snapshots();
    return await eachName(cli, names, async (name) => {
      await Snapshot.remove(name);
      return undefined;
    });
  });
}
