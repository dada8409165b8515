import type { Command } from "commander";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import type { Cli } from "../cli.ts";
import { action, type CommandDefinition, examples, jsonOption } from "../command-definition.ts";
import { eachName } from "../each-name.ts";

interface UpdateOptions {
  memory?: string;
  json?: true;
}

/** `supermachine update` */
export const update: CommandDefinition = { define, operands: [{ kind: "running-machine" }] };

function define(command: Command, cli: Cli): void {
  jsonOption(command)
    .description(
      "Changes running machines. With -m their memory is limited: what the guest can spare goes back to this host, until " +
        "a higher limit returns it. Prints each name when done.",
    )
    .usage("[options] MACHINE...")
    .argument("<machine...>", "names or ids")
    .option("-m, --memory <size>", "leave the guest at most this much, such as 256m");
  examples(command, [
    ["update -m 256m web", "Take back what 'web' does not need"],
    ["update -m 512m web", "Let it have it again"],
  ]);
  action<UpdateOptions>(command, cli, async (names, { memory }) => {
    if (memory === undefined)
      throw new SupermachineError("INVALID_ARGUMENT", "There is nothing to change", {
        hint: "Say what: --memory SIZE",
      });
    const { Machine } = await cli.library();
    return await eachName(cli, names, async (name) => {
      await using machine = await Machine.connect(name);
      await machine.limitMemory(memory);
      return undefined;
    });
  });
}
