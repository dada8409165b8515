import type { Command } from "commander";
import type { MachineInfo } from "../../machine/types.ts";
import type { Cli } from "../cli.ts";
import { action, type CommandDefinition, examples, jsonOption } from "../command-definition.ts";
import { imageName, machineStatus, portsText } from "../output/machine-text.ts";
import { formatAge } from "../output/quantities.ts";
import { type Column, formatTable } from "../output/table.ts";

interface Options {
  all?: true;
  quiet?: true;
  json?: true;
  trunc: boolean;
}

/** `supermachine ps` */
export const ps: CommandDefinition = { define };

function define(command: Command, cli: Cli): void {
  jsonOption(command)
    .description("Lists the machines that run, of every process of this user.")
    .option("-a, --all", "also machines that have ended")
    .option("-q, --quiet", "print ids only")
    .option("--no-trunc", "print long values in full");
  examples(command, [
    ["ps", "What runs now"],
    ["ps -a --json", "Every machine, for a program: an array of objects"],
    ["rm $(supermachine ps -aq)", "Remove every machine that has ended"],
  ]);
  action<Options>(command, cli, async (_, options) => {
    const { Machine } = await cli.library();
    // Newest first, as docker lists them.
    const machines = (await Machine.list({ all: options.all === true })).toReversed();
    if (options.json === true) cli.printJson(machines);
    else if (options.quiet === true) cli.print(machines.map(({ id }) => `${id}\n`).join(""));
    else cli.print(formatTable(machines, columns(Date.now()), { truncate: options.trunc }));
    return 0;
  });
}

function columns(nowMs: number): Column<MachineInfo>[] {
  return [
    { title: "ID", value: ({ id }) => id },
    { title: "IMAGE", value: ({ image }) => imageName(image), maximum: 40 },
    { title: "COMMAND", value: ({ command }) => (command === undefined ? "" : quoted(command)), maximum: 24 },
    { title: "CREATED", value: ({ createdAt }) => formatAge(nowMs - createdAt) },
    { title: "STATUS", value: (info) => machineStatus(info, nowMs) },
    { title: "PORTS", value: ({ ports }) => portsText(ports), maximum: 40 },
    { title: "NAME", value: ({ name }) => name },
  ];
}

function quoted(command: readonly string[]): string {
  return `"${command.join(" ")}"`;
}
