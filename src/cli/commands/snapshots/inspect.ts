import type { Command } from "commander";
import type { Cli } from "../../cli.ts";
import { action, type CommandDefinition, examples, jsonOption } from "../../command-definition.ts";

/** `supermachine snapshots inspect` */
export const inspect: CommandDefinition = { define, operands: [{ kind: "snapshot" }, { kind: "none" }] };

function define(command: Command, cli: Cli): void {
  jsonOption(command)
    .description("Prints everything that is known about a snapshot, as a JSON object.")
    .usage("[options] SNAPSHOT")
    .argument("<snapshot>", "name or id");
  examples(command, [["snapshots inspect ready", "Of what, how large, based on what"]]);
  action(command, cli, async ([name = ""]) => {
    const Snapshot = await (await cli.library()).snapshots();
    cli.printJson(await Snapshot.inspect(name));
    return 0;
  });
}
