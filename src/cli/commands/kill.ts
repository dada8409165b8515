import type { Command } from "commander";
import { signalNumber } from "../../machine/guest-signals.ts";
import type { Cli } from "../cli.ts";
import { action, type CommandDefinition, examples, jsonOption } from "../command-definition.ts";
import type { Suggestion } from "../completion/suggestion.ts";
import { eachName } from "../each-name.ts";

const signals: Suggestion = {
  kind: "words",
  words: ["HUP", "INT", "QUIT", "KILL", "USR1", "USR2", "TERM", "CONT", "STOP", "WINCH"],
};

/** `supermachine kill` */
export const kill: CommandDefinition = {
  define,
  operands: [{ kind: "running-machine" }],
  optionValues: { "--signal": signals },
};

function define(command: Command, cli: Cli): void {
  jsonOption(command)
    .description(
      "Ends machines at once, without asking the guest; with -s another signal goes to their main command. Prints each " +
        "name when done.",
    )
    .usage("[options] MACHINE...")
    .argument("<machine...>", "names or ids")
    .option(
      "-s, --signal <signal>",
      "name or number; KILL ends the machine, others go to its command",
      "KILL",
    );
  examples(command, [
    ["kill web", "End one machine"],
    ["kill -s HUP web", "Ask a server to read its configuration again"],
  ]);
  action<{ signal: string; json?: true }>(command, cli, async (names, options) => {
    const ends = signalNumber(options.signal) === 9;
    const { Machine } = await cli.library();
    return eachName(cli, names, async (name) => {
      await using machine = await Machine.connect(name);
      if (ends) return { id: machine.id, exit: await machine.kill() };
      await machine.signal(options.signal);
      return { id: machine.id };
    });
  });
}
