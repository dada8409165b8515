import type { Command } from "commander";
import type { SnapshotInfo } from "../../../machine/types.ts";
import type { Cli } from "../../cli.ts";
import { action, type CommandDefinition, examples, jsonOption } from "../../command-definition.ts";
import { imageName, shortSnapshotId } from "../../output/machine-text.ts";
import { formatAge, formatBytes } from "../../output/quantities.ts";
import { type Column, formatTable } from "../../output/table.ts";

interface Options {
  all?: true;
  quiet?: true;
  json?: true;
  trunc: boolean;
}

/** `supermachine snapshots ls` */
export const ls: CommandDefinition = { define };

function define(command: Command, cli: Cli): void {
  jsonOption(command)
    .description("Lists the snapshots that are kept, newest first.")
    .option("-a, --all", "also templates, and what is kept for forks that run")
    .option("-q, --quiet", "print ids only")
    .option("--no-trunc", "print long values in full");
  examples(command, [
    ["snapshots ls", "What can be restored"],
    ["snapshots ls -a --json", "Everything, for a program: an array of objects"],
  ]);
  action<Options>(command, cli, async (_, options) => {
    const Snapshot = await (await cli.library()).snapshots();
    const found = await Snapshot.list({ all: options.all === true });
    if (options.json === true) cli.printJson(found);
    else if (options.quiet === true) cli.print(found.map(({ id }) => `${id}\n`).join(""));
    else cli.print(formatTable(found, columns({ nowMs: Date.now(), truncate: options.trunc })));
    return 0;
  });
}

function columns({ nowMs, truncate }: { nowMs: number; truncate: boolean }): Column<SnapshotInfo>[] {
  return [
    { title: "ID", value: ({ id }) => (truncate ? shortSnapshotId(id) : id) },
    { title: "NAME", value: ({ names }) => names.join(", "), maximum: 40 },
    { title: "KIND", value: ({ kind }) => kind },
    { title: "IMAGE", value: ({ image }) => (image === undefined ? "" : imageName(image)), maximum: 40 },
    { title: "CPUS", value: ({ cpus }) => String(cpus) },
    { title: "MEMORY", value: ({ memoryMiB }) => `${memoryMiB} MiB` },
    { title: "CREATED", value: ({ createdAt }) => formatAge(nowMs - createdAt) },
    { title: "ON DISK", value: ({ diskBytes }) => formatBytes(diskBytes) },
    { title: "IN USE", value: ({ inUse }) => (inUse ? "yes" : "") },
  ];
}
