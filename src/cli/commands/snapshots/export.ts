import type { Command } from "commander";
import type { Cli } from "../../cli.ts";
import { action, type CommandDefinition, examples } from "../../command-definition.ts";

interface Options {
  gzip?: true;
  quiet?: true;
}

/** `supermachine snapshots export` */
export const exportSnapshot: CommandDefinition = {
  define,
  operands: [{ kind: "snapshot" }, { kind: "file" }],
};

function define(command: Command, cli: Cli): void {
  command
    .description(
      "Writes a snapshot, with those that it is based on, to one file. The image is not in it: it has to be pulled where " +
        "the snapshot is to be used. What the machine had in memory is, secrets included.",
    )
    .usage("[options] SNAPSHOT FILE")
    .argument("<snapshot>", "name or id")
    .argument("<file>", "where to write; a file that is there is replaced")
    .option("--gzip", "compress it")
    .option("-q, --quiet", "print nothing");
  examples(command, [["snapshots export --gzip ready ready.snapshot", "Take a snapshot to another host"]]);
  action<Options>(command, cli, async ([name = "", file = ""], options) => {
    const Snapshot = await (await cli.library()).snapshots();
    await Snapshot.export(name, file, { compress: options.gzip === true });
    if (options.quiet !== true) cli.print(`${file}\n`);
    return 0;
  });
}
