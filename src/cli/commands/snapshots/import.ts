import type { Command } from "commander";
import type { Cli } from "../../cli.ts";
import { action, type CommandDefinition, examples, jsonOption } from "../../command-definition.ts";

interface Options {
  json?: true;
}

/** `supermachine snapshots import` */
export const importSnapshot: CommandDefinition = { define, operands: [{ kind: "file" }, { kind: "none" }] };

function define(command: Command, cli: Cli): void {
  jsonOption(command)
    .description(
      "Takes a snapshot in that 'supermachine snapshots export' has written; everything in it is verified. Prints its id.",
    )
    .usage("[options] FILE [NAME]")
    .argument("<file>", "what 'export' wrote, compressed or not")
    .argument("[name]", "name for the snapshot; without one it has its id");
  examples(command, [["snapshots import ready.snapshot ready", "Take one in, as 'ready'"]]);
  action<Options>(command, cli, async ([file = "", name], options) => {
    const Snapshot = await (await cli.library()).snapshots();
    const taken = await Snapshot.import(file, { name });
    if (options.json === true) cli.printJson(taken);
    else cli.print(`${taken.id}\n`);
    return 0;
  });
}
