import { Argument, type Command } from "commander";
import type { Cli } from "../cli.ts";
import { action, type CommandDefinition, examples } from "../command-definition.ts";
import { completionScripts, type Shell } from "../completion/scripts.ts";

const shells = Object.keys(completionScripts) as Shell[];

/** `supermachine completion` */
export const completion: CommandDefinition = { define, operands: [{ kind: "words", words: shells }] };

function define(command: Command, cli: Cli): void {
  command
    .description(
      "Prints a script that teaches a shell to complete commands, options, and the names of machines and images.",
    )
    .usage("SHELL")
    .addArgument(new Argument("<shell>", "which shell").choices(shells));
  examples(command, [
    ["completion bash > ~/.local/share/bash-completion/completions/supermachine", "bash, for good"],
    ['completion zsh > "${fpath[1]}/_supermachine"', "zsh, for good"],
    ["completion fish > ~/.config/fish/completions/supermachine.fish", "fish, for good"],
  ]);
  action(command, cli, async ([shell]) => {
    cli.print(completionScripts[shell as Shell]);
    return 0;
  });
}
