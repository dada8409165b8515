import { Command, Option } from "commander";
import type { Cli } from "./cli.ts";
import type { Suggestion } from "./completion/suggestion.ts";

/** One command: its arguments, options and help, and what it does. */
export interface CommandDefinition {
  /** Adds arguments, options, help and action to an empty command. */
  readonly define: (command: Command, cli: Cli) => void;
  /** What the shell may complete at each position; the last one serves all further positions. */
  readonly operands?: readonly Suggestion[];
  /** What the shell may complete after an option, by its long name. */
  readonly optionValues?: Readonly<Record<string, Suggestion>>;
  /** True for `run` and `exec`: what follows the operands is the guest's. */
  readonly runsGuestCommand?: boolean;
}

/** Registers what a command does; the number it returns is the exit code. */
export function action<Options extends object>(
  command: Command,
  cli: Cli,
  perform: (operands: string[], options: Options) => Promise<number | undefined>,
): void {
  command.action(async () => {
    const options = command.opts<Options & { debug?: boolean }>();
    if (options.debug === true) cli.debug = true;
    cli.exitCode = (await perform(command.args, options)) ?? 0;
  });
}

/** Adds the examples that close a command's help. */
export function examples(command: Command, lines: readonly (readonly [string, string])[]): void {
  const text = lines.map(([line, meaning]) => `  # ${meaning}\n  $ supermachine ${line}`).join("\n");
  command.addHelpText("after", `\nExamples:\n${text}`);
}

/** `--json`, on every command whose output is data. */
export function jsonOption(command: Command): Command {
  return command.option("--json", "print JSON; errors too, on standard error");
}

/** An option that can be given more than once: absent, or its values in the order given. */
export function listOption(flags: string, description: string): Option {
  return new Option(flags, description).argParser((value: string, earlier: string[] = []) => [
    ...earlier,
    value,
  ]);
}

/** Builds the commander command of a definition. */
export function buildCommand(name: string, cli: Cli, definition: CommandDefinition): Command {
  const command = new Command(name).helpOption("--help", "show this help");
  definition.define(command, cli);
  return command.option("--debug", "show causes and stacks of errors");
}
