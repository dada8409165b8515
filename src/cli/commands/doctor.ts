import type { Command } from "commander";
import type { Diagnosis } from "../../machine/doctor.ts";
import type { Cli } from "../cli.ts";
import { action, type CommandDefinition, examples, jsonOption } from "../command-definition.ts";
import { exitCodes } from "../exit-code.ts";
import { printable } from "../output/printable.ts";
import { type Style, styleFor } from "../output/style.ts";

/** `supermachine doctor` */
export const doctor: CommandDefinition = { define };

function define(command: Command, cli: Cli): void {
  jsonOption(command).description(
    "Looks at everything a machine needs, and says which engine will be used and why, what is missing, and what to do " +
      "about it. Exits with 1 when no machine can be started here.",
  );
  examples(command, [
    ["doctor", "Before the first run"],
    ["doctor --json", "For a program, and for bug reports"],
  ]);
  action<{ json?: true }>(command, cli, async (_, options) => {
    const diagnosis = await (await cli.library()).doctor();
    if (options.json === true) cli.printJson(diagnosis);
    else cli.print(formatDiagnosis(diagnosis, styleFor(cli.host.stdout, cli.host.env)));
    return diagnosis.ok ? 0 : exitCodes.failed;
  });
}

/** The checks one a line, what to do below each, and what it all means at the end. */
export function formatDiagnosis(diagnosis: Diagnosis, style: Style): string {
  const width = Math.max(...diagnosis.checks.map(({ name }) => name.length), 0);
  const marks = {
    ok: style.green("ok     "),
    warning: style.yellow("warning"),
    failed: style.red("failed "),
  };
  const lines = diagnosis.checks.flatMap(({ name, status, detail, remedy }) => [
    `${marks[status]}   ${printable(name.padEnd(width))}   ${printable(detail)}`,
    ...(remedy === undefined ? [] : [`${" ".repeat(width + 13)}-> ${printable(remedy)}`]),
  ]);
  return `${lines.join("\n")}\n\n${conclusion(diagnosis)}\n`;
}

function conclusion({ ok, engine }: Diagnosis): string {
  if (!ok || engine === undefined)
    return "Machines cannot be started here yet: see the lines marked 'failed'.";
  const accelerator = engine.accelerator === undefined ? "" : ` with ${printable(engine.accelerator)}`;
  return `Machines will run on the engine '${engine.name}'${accelerator}: ${printable(engine.why)}.`;
}
