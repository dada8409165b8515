import { setTimeout as delay } from "node:timers/promises";
import type { Command } from "commander";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import type { MachineStats } from "../../machine/types.ts";
import { interruptible } from "../attach/interruption.ts";
import type { Cli } from "../cli.ts";
import { action, type CommandDefinition, examples, jsonOption } from "../command-definition.ts";
import type { Library } from "../library.ts";
import { formatBytes, formatDuration } from "../output/quantities.ts";
import { type Column, formatTable } from "../output/table.ts";

interface Options {
  stream: boolean;
  json?: true;
}

interface Row extends MachineStats {
  readonly id: string;
  readonly name: string;
}

const refreshMs = 1_000;

/** `supermachine stats` */
export const stats: CommandDefinition = { define, operands: [{ kind: "running-machine" }] };

function define(command: Command, cli: Cli): void {
  jsonOption(command)
    .description(
      "Shows what running machines take of this host: processor time and memory of the process that carries each, and " +
        "the part of it that is the guest's memory, where that can be told. Machines of one program share its " +
        "process, and show its numbers. On a terminal the table is renewed every second.",
    )
    .usage("[options] [MACHINE...]")
    .argument("[machine...]", "names or ids (default: all that run)")
    .option("--no-stream", "print the numbers once");
  examples(command, [
    ["stats", "Watch what runs"],
    ["stats --no-stream web", "One machine, once"],
    ["stats --json", "Once, for a program: an array of objects"],
  ]);
  action<Options>(command, cli, async (names, options) => {
    const library = await cli.library();
    if (options.json === true) cli.printJson(await rowsOf(library, names));
    else if (options.stream && cli.host.stdout.isTTY === true)
      await interruptible(cli, (signal) => watch(cli, library, { names, signal }));
    else cli.print(formatTable(await rowsOf(library, names), columns));
    return 0;
  });
}

async function watch(
  cli: Cli,
  library: Library,
  { names, signal }: { names: readonly string[]; signal: AbortSignal },
): Promise<void> {
  let lines = 0;
  while (!signal.aborted) {
    const table = formatTable(await rowsOf(library, names), columns);
    // Back up to the first line of the last table, and everything below it away.
    cli.print(`${lines === 0 ? "" : `\x1b[${lines}A\x1b[J`}${table}`);
    lines = table.split("\n").length - 1;
    await delay(refreshMs, undefined, { signal }).catch(() => {});
  }
}

/** Of the machines that were named, or of all that run; one that ends meanwhile is left out of those. */
async function rowsOf({ Machine }: Library, names: readonly string[]): Promise<Row[]> {
  if (names.length > 0) return await Promise.all(names.map((name) => rowOf(Machine, name)));
  const running = await Machine.list();
  const rows = await Promise.all(
    running.map(({ id }) =>
      rowOf(Machine, id).catch((error: unknown) => {
        if (error instanceof SupermachineError && endings.has(error.code)) return undefined;
        throw error;
      }),
    ),
  );
  return rows.filter((row) => row !== undefined);
}

const endings: ReadonlySet<string> = new Set(["MACHINE_NOT_FOUND", "MACHINE_NOT_RUNNING"]);

async function rowOf(Machine: Library["Machine"], name: string): Promise<Row> {
  await using machine = await Machine.connect(name);
  return { id: machine.id, name: machine.name, ...(await machine.stats()) };
}

const columns: readonly Column<Row>[] = [
  { title: "ID", value: ({ id }) => id },
  { title: "NAME", value: ({ name }) => name },
  { title: "CPU TIME", value: ({ cpuMs }) => formatDuration(cpuMs) },
  { title: "HOST MEMORY", value: ({ memoryBytes }) => formatBytes(memoryBytes) },
  {
    title: "OF THE GUEST",
    value: ({ guestMemoryBytes: bytes }) => (bytes === undefined ? "-" : formatBytes(bytes)),
  },
  { title: "GUEST MEMORY", value: ({ memoryMiB }) => `${memoryMiB} MiB` },
  { title: "EXITS", value: ({ exits }) => (exits === undefined ? "-" : String(exits)) },
];
