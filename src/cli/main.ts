import { Command, CommanderError } from "commander";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { productVersion } from "../storage/product-version.ts";
import { Interruption } from "./attach/interruption.ts";
import { Cli, type CliHost } from "./cli.ts";
import { buildCommand } from "./command-definition.ts";
import { type CommandEntry, commandTable, findCommand, type NamedCommand } from "./command-table.ts";
import { exitCodeForError, exitCodes } from "./exit-code.ts";
import { errorForJson, formatError } from "./output/error-report.ts";
import { processHost } from "./process-host.ts";
import { usageError } from "./usage-error.ts";

/** Runs one command line; resolves with the exit code once all output has been handed over. */
export async function main(argv: readonly string[], host: CliHost = processHost()): Promise<number> {
  const cli = new Cli(host);
  const words = argv[0] === "help" && argv.length > 1 ? [...argv.slice(1), "--help"] : [...argv];
  const wanted = findCommand(words);
  try {
    if (words.find((word) => !word.startsWith("-")) === "__complete") return await complete(cli, words);
    // A command that has commands of its own needs one of them, as supermachine itself does.
    if (words.length === 0 || (wanted.entry?.commands !== undefined && words.at(-1) === wanted.entry.name))
      words.push("--help");
    const program = await buildProgram(cli, words, wanted);
    // Before parsing, so that what the parser refuses is JSON as well. A guest command may have a --json of its own.
    cli.json = !cli.runsGuestCommand && words.includes("--json");
    await program.parseAsync(words, { from: "user" });
    return cli.exitCode;
  } catch (error) {
    return report(cli, { error, commandName: wanted.name });
  } finally {
    cli.endProgress();
  }
}

/** Prints an error in the form that the user asked for; returns the exit code for it. */
export function report(cli: Cli, failure: { error: unknown; commandName?: string | undefined }): number {
  cli.endProgress();
  const { error: thrown, commandName } = failure;
  if (thrown instanceof Interruption) return thrown.exitCode;
  const isUsage = thrown instanceof CommanderError;
  // The parser also throws to end the program after help and version.
  if (isUsage && thrown.exitCode === 0) return 0;
  const error = isUsage ? usageError(thrown, commandName) : thrown;
  cli.host.stderr.write(
    cli.json
      ? `${JSON.stringify({ error: errorForJson(error) })}\n`
      : formatError(error, { style: cli.style, debug: cli.debug }),
  );
  const badArgument = error instanceof SupermachineError && badArgumentCodes.has(error.code);
  if (badArgument) return exitCodes.ownFailure;
  return exitCodeForError(error, { runsGuestCommand: cli.runsGuestCommand });
}

const badArgumentCodes: ReadonlySet<string> = new Set(["INVALID_ARGUMENT", "INVALID_REFERENCE"]);

/**
 * The program as the parser sees it. A command that comes first is all that the parser will look at; otherwise, what it
 * says may be about every command, of which only the wanted one is complete, the others are a name and a line.
 */
async function buildProgram(cli: Cli, words: readonly string[], wanted: NamedCommand): Promise<Command> {
  const { host } = cli;
  const configure = (command: Command): Command =>
    command.exitOverride().configureOutput({
      writeOut: (text) => void host.stdout.write(text),
      // Errors are thrown, and printed by `report`.
      writeErr: () => {},
      getOutHelpWidth: () => Math.min(host.stdout.columns ?? 100, 100),
      getOutHasColors: () => false,
    });
  const program = configure(new Command("supermachine"))
    .description("Runs any OCI image as a hardware-isolated microVM.")
    .usage("COMMAND [options]")
    .enablePositionalOptions()
    .helpCommand(false)
    .helpOption("-h, --help", "show this help, or that of a command")
    .version(productVersion(), "-v, --version", "print the version")
    .option("--debug", "show causes and stacks of errors")
    .on("option:debug", () => {
      cli.debug = true;
    })
    .addHelpText("after", overviewEnd);
  const build = async (
    entry: Pick<CommandEntry, "name" | "summary" | "load">,
    isWanted: boolean,
  ): Promise<Command> => {
    const definition = isWanted ? await entry.load() : undefined;
    if (definition?.runsGuestCommand === true) cli.runsGuestCommand = true;
    const command =
      definition === undefined ? new Command(entry.name) : buildCommand(entry.name, cli, definition);
    return configure(command).summary(entry.summary);
  };
  const isAlone = wanted.entry !== undefined && words[0] === wanted.entry.name;
  for (const entry of isAlone ? [wanted.entry] : commandTable) {
    const command = await build(entry, entry === wanted.entry);
    if (entry === wanted.entry && entry.commands !== undefined) {
      command.usage("COMMAND [options]").helpCommand(false);
      for (const own of entry.commands) command.addCommand(await build(own, own === wanted.own));
    }
    program.addCommand(command.helpGroup(`${entry.group}:`));
  }
  return program;
}

const overviewEnd = `
Examples:
  $ supermachine run alpine echo hello
  $ supermachine run -it debian bash
  $ supermachine run -d -p 8080:80 --name web nginx

Environment:
  SUPERMACHINE_HOME   where images and machines are kept (default: ~/.supermachine)
  SUPERMACHINE_DEBUG  1: as --debug
  NO_COLOR            no colours

'supermachine COMMAND --help' says more about a command.`;

async function complete(cli: Cli, words: readonly string[]): Promise<number> {
  const { completeWords } = await import("./completion/complete-words.ts");
  cli.print(await completeWords(cli, words.slice(words.indexOf("--") + 1)));
  return 0;
}
