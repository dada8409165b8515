import type { Command } from "commander";
import { productVersion } from "../../storage/product-version.ts";
import type { Cli } from "../cli.ts";
import { action, type CommandDefinition, examples, jsonOption } from "../command-definition.ts";

/** `supermachine version` */
export const version: CommandDefinition = { define };

function define(command: Command, cli: Cli): void {
  jsonOption(command).description("Prints the versions of supermachine and of Node, and the platform.");
  examples(command, [["version --json", "For a program"]]);
  action<{ json?: true }>(command, cli, async (_, options) => {
    const facts = {
      version: productVersion(),
      node: process.versions.node,
      os: process.platform,
      architecture: process.arch,
    };
    if (options.json === true) cli.printJson(facts);
    else cli.print(`supermachine ${facts.version} (Node ${facts.node}, ${facts.os} ${facts.architecture})\n`);
    return 0;
  });
}
