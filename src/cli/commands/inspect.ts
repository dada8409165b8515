import { type Command, Option } from "commander";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import type { Cli } from "../cli.ts";
import { action, type CommandDefinition, examples, jsonOption } from "../command-definition.ts";
import { exitCodes } from "../exit-code.ts";
import type { Library } from "../library.ts";
import { errorForJson, formatError } from "../output/error-report.ts";

interface Options {
  type?: "machine" | "image";
  json?: true;
}

/** `supermachine inspect` */
export const inspect: CommandDefinition = { define, operands: [{ kind: "object" }] };

function define(command: Command, cli: Cli): void {
  jsonOption(command)
    .description(
      "Prints everything that is known about machines and images, as a JSON array. A name that fits both a machine and " +
        "an image means the machine.",
    )
    .usage("[options] NAME...")
    .argument("<name...>", "machines (names or ids) or images")
    .addOption(new Option("--type <type>", "only look for this").choices(["machine", "image"]));
  examples(command, [
    ["inspect web", "A machine"],
    ["inspect --type image nginx", "An image: its configuration and layers"],
  ]);
  action<Options>(command, cli, async (names, options) => {
    const library = await cli.library();
    const outcomes = await Promise.allSettled(
      names.map((name) => find(library, { name, type: options.type })),
    );
    cli.printJson(outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : [])));
    const failures = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason] : []));
    for (const failure of failures)
      cli.host.stderr.write(
        cli.json
          ? `${JSON.stringify({ error: errorForJson(failure) })}\n`
          : formatError(failure, { style: cli.style, debug: cli.debug }),
      );
    return failures.length > 0 ? exitCodes.failed : 0;
  });
}

async function find(library: Library, wanted: { name: string; type: Options["type"] }): Promise<object> {
  const { name, type } = wanted;
  if (type !== "image") {
    try {
      await using machine = await library.Machine.connect(name);
      return { type: "machine", ...(await machine.info()) };
    } catch (error) {
      if (type === "machine" || !isMissing(error)) throw error;
    }
  }
  try {
    return { type: "image", ...(await library.Image.inspect(name)) };
  } catch (error) {
    if (type === "image" || !isMissing(error)) throw error;
    throw new SupermachineError("IMAGE_NOT_FOUND", `There is no machine and no image called '${name}'`, {
      hint: "See 'supermachine ps -a' and 'supermachine images'",
    });
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof SupermachineError && missingCodes.has(error.code);
}

/** Some image names are no machine names and the other way round: then there is none of that name either. */
const missingCodes: ReadonlySet<string> = new Set([
  "MACHINE_NOT_FOUND",
  "IMAGE_NOT_FOUND",
  "INVALID_REFERENCE",
  "INVALID_ARGUMENT",
]);
