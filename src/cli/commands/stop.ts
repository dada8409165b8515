import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { action, type CommandDefinition, examples, jsonOption } from "../command-definition.ts";
import { eachName } from "../each-name.ts";
import { numberOf } from "../input/machine-options.ts";

interface Options {
  time: string;
  json?: true;
}

/** `supermachine stop` */
export const stop: CommandDefinition = { define, operands: [{ kind: "running-machine" }] };

function define(command: Command, cli: Cli): void {
  jsonOption(command)
    .description(
      "Stops machines in an orderly way: the main command gets the image's stop signal, then the guest writes back " +
        "its file systems and powers off. What takes too long is killed. Prints each name when done.",
    )
    .usage("[options] MACHINE...")
    .argument("<machine...>", "names or ids")
    .option("-t, --time <seconds>", "how long it may take before the machine is killed", "10");
  examples(command, [
    ["stop web", "Stop one machine"],
    ["stop -t 0 $(supermachine ps -q)", "Stop every machine, without waiting"],
  ]);
  action<Options>(command, cli, async (names, options) => {
    const limit = { option: "--time", integer: false, minimum: 0, maximum: 86_400 };
    const timeoutMs = numberOf(options.time, limit) * 1000;
    const { Machine } = await cli.library();
    return eachName(cli, names, async (name) => {
      await using machine = await Machine.connect(name);
      return { id: machine.id, exit: await machine.stop({ timeoutMs }) };
    });
  });
}
