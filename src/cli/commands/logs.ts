import type { Command } from "commander";
import { interruptible } from "../attach/interruption.ts";
import type { Cli } from "../cli.ts";
import { action, type CommandDefinition, examples } from "../command-definition.ts";
import { numberOf } from "../input/machine-options.ts";
import { parseMoment } from "../input/moment.ts";
import type { GuestMachine } from "../library.ts";
import { type LogLine, LogLines } from "../output/log-lines.ts";

interface Options {
  follow?: true;
  tail: string;
  timestamps?: true;
  since?: string;
}

/** `supermachine logs` */
export const logs: CommandDefinition = { define, operands: [{ kind: "machine" }] };

function define(command: Command, cli: Cli): void {
  command
    .description(
      "Prints what the main command of a machine has written: its standard output on ours, its standard error on ours. " +
        "The log of very long output is cut at its old end.",
    )
    .usage("[options] MACHINE")
    .argument("<machine>", "name or id; the machine may have ended")
    .option("-f, --follow", "go on until the machine ends")
    .option("-n, --tail <lines>", "only this many lines from the end", "all")
    .option("-t, --timestamps", "start each line with its time")
    .option("--since <time>", "only what came after: a date, or a span such as 10m");
  examples(command, [
    ["logs web", "Everything so far"],
    ["logs -f --tail 20 web", "The last lines, and what comes"],
  ]);
  action<Options>(command, cli, async ([name = ""], options) => {
    const rule = { option: "--tail", integer: true, minimum: 0, maximum: 1_000_000_000 };
    const tail = options.tail === "all" ? Number.POSITIVE_INFINITY : numberOf(options.tail, rule);
    const sinceMs =
      options.since === undefined ? 0 : parseMoment(options.since, { option: "--since", nowMs: Date.now() });
    const { Machine } = await cli.library();
    await using machine = await Machine.connect(name);
    await interruptible(cli, (signal) =>
      printLogs(cli, machine, {
        tail,
        sinceMs,
        signal,
        follow: options.follow === true,
        timestamps: options.timestamps === true,
      }),
    );
    return 0;
  });
}

interface Wanted {
  readonly tail: number;
  readonly sinceMs: number;
  readonly follow: boolean;
  readonly timestamps: boolean;
  readonly signal: AbortSignal;
}

async function printLogs(cli: Cli, machine: GuestMachine, wanted: Wanted): Promise<void> {
  const seenBytes = Number.isFinite(wanted.tail) ? await printTail(cli, machine, wanted) : 0;
  if (Number.isFinite(wanted.tail) && !wanted.follow) return;
  let skip = seenBytes;
  const lines = new LogLines();
  const { follow, signal } = wanted;
  for await (const entry of machine.logs({ follow, signal })) {
    const skipped = Math.min(skip, entry.bytes.length);
    skip -= skipped;
    const bytes = entry.bytes.subarray(skipped);
    if (entry.time < wanted.sinceMs) continue;
    // Whole lines are only needed where something is put before them; otherwise half a line (a prompt) shows at once.
    const ready = wanted.timestamps ? lines.push({ ...entry, bytes }) : [{ ...entry, bytes }];
    for (const line of ready) await printLine(cli, line, wanted);
  }
  for (const line of lines.end()) await printLine(cli, line, wanted);
}

/** Prints the last lines of what there is now; returns how many bytes there were. */
async function printTail(cli: Cli, machine: GuestMachine, wanted: Wanted): Promise<number> {
  const lines = new LogLines();
  let kept: LogLine[] = [];
  let seenBytes = 0;
  const keep = (more: readonly LogLine[]) => {
    kept.push(...more);
    // Cut now and then rather than at every line.
    if (kept.length > 2 * wanted.tail + 1000) kept = kept.slice(kept.length - wanted.tail);
  };
  for await (const entry of machine.logs({ signal: wanted.signal })) {
    seenBytes += entry.bytes.length;
    if (entry.time >= wanted.sinceMs) keep(lines.push(entry));
  }
  keep(lines.end());
  for (const line of kept.slice(Math.max(0, kept.length - wanted.tail))) await printLine(cli, line, wanted);
  return seenBytes;
}

async function printLine(cli: Cli, line: LogLine, wanted: Wanted): Promise<void> {
  const target = line.stream === "stderr" ? cli.host.stderr : cli.host.stdout;
  if (wanted.timestamps) target.write(`${new Date(line.time).toISOString()} `);
  if (target.write(line.bytes) || target.destroyed) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      target.off("drain", done).off("close", done);
      resolve();
    };
    target.on("drain", done).on("close", done);
  });
}
