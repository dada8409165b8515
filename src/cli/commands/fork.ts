import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { action, type CommandDefinition, examples, jsonOption } from "../command-definition.ts";
import { numberOf } from "../input/machine-options.ts";

interface Options {
  number: string;
  name?: string;
  json?: true;
}

/** `supermachine fork` */
export const fork: CommandDefinition = { define, operands: [{ kind: "running-machine" }, { kind: "none" }] };

function define(command: Command, cli: Cli): void {
  jsonOption(command)
    .description(
      "Makes copies of a running machine, which go on side by side with it in the background. They share its memory " +
        "until they write. Each has a name, an id and an identity of its own, and no published ports. Prints their ids.",
    )
    .usage("[options] MACHINE")
    .argument("<machine>", "name or id")
    .option("-n, --number <count>", "how many copies", "1")
    .option("--name <name>", "name of the copy; several are called NAME-1, NAME-2 ...");
  examples(command, [
    ["fork web", "One copy"],
    ["fork -n 8 --name worker web", "Eight, called worker-1 to worker-8"],
  ]);
  action<Options>(command, cli, async ([machineName = ""], options) => {
    const count = numberOf(options.number, { option: "--number", integer: true, minimum: 1, maximum: 256 });
    const { Machine } = await cli.library();
    await using machine = await Machine.connect(machineName);
    const copies = await machine.fork(count, { detached: true, names: namesOf(options.name, count) });
    if (options.json === true) cli.printJson(copies.map(({ id, name }) => ({ id, name })));
    else cli.print(copies.map(({ id }) => `${id}\n`).join(""));
    for (const copy of copies) await copy[Symbol.asyncDispose]();
    return 0;
  });
}

function namesOf(name: string | undefined, count: number): string[] | undefined {
  if (name === undefined) return undefined;
  return count === 1 ? [name] : Array.from({ length: count }, (_, index) => `${name}-${index + 1}`);
}
