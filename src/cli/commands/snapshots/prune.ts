import type { Command } from "commander";
import type { Cli } from "../../cli.ts";
import { action, type CommandDefinition, examples, jsonOption } from "../../command-definition.ts";
import { pruneReport } from "../../output/prune-report.ts";

interface Options {
  templates?: true;
  quiet?: true;
  json?: true;
}

/** `supermachine snapshots prune` */
export const prune: CommandDefinition = { define };

function define(command: Command, cli: Cli): void {
  jsonOption(command)
    .description(
      "Deletes snapshots that no machine needs any more: those of forks that have ended, and templates that nothing " +
        "asks for. What was made by hand, or has a name, stays.",
    )
    .option(
      "--templates",
      "also templates and warmed-up states that are not in use; they are made again when needed",
    )
    .option("-q, --quiet", "print nothing");
  examples(command, [["snapshots prune", "Tidy up"]]);
  action<Options>(command, cli, async (_, options) => {
    const Snapshot = await (await cli.library()).snapshots();
    const { removed, freedBytes } = await Snapshot.prune({ templates: options.templates === true });
    if (options.json === true) cli.printJson({ removed, freedBytes });
    else if (options.quiet !== true) cli.print(pruneReport({ snapshots: removed, freedBytes }));
    return 0;
  });
}
