import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { action, type CommandDefinition, examples, jsonOption } from "../command-definition.ts";
import { eachName } from "../each-name.ts";

interface Options {
  force?: true;
  json?: true;
}

/** `supermachine rmi` */
export const rmi: CommandDefinition = { define, operands: [{ kind: "image" }] };

function define(command: Command, cli: Cli): void {
  jsonOption(command)
    .description(
      "Removes images from the local store, with everything that no other image needs. Prints each name when done.",
    )
    .usage("[options] IMAGE...")
    .argument("<image...>", "names as 'supermachine images' shows them")
    .option("-f, --force", "also images that machines use");
  examples(command, [
    ["rmi alpine:3.20", "Remove one image"],
    ["rmi $(supermachine images -q)", "Remove all that no machine uses"],
  ]);
  action<Options>(command, cli, async (names, options) => {
    const { Image } = await cli.library();
    return eachName(cli, names, async (name) => {
      await Image.remove(name, { force: options.force === true });
      return undefined;
    });
  });
}
