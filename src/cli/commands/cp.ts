import { once } from "node:events";
import type { Command } from "commander";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import { interruptible } from "../attach/interruption.ts";
import type { Cli } from "../cli.ts";
import { action, type CommandDefinition, examples } from "../command-definition.ts";
import { type CopyArgument, parseCopyArgument } from "../input/copy-argument.ts";

/** `supermachine cp` */
export const cp: CommandDefinition = { define, operands: [{ kind: "copy" }] };

function define(command: Command, cli: Cli): void {
  command
    .description(
      "Copies files and directories between this host and a running machine, by the rule of 'cp -r': into the target " +
        "when it is a directory, else to that name. '-' as source reads a tar archive and unpacks it in a directory of " +
        "the machine; '-' as target writes one.",
    )
    .usage("SOURCE MACHINE:PATH | MACHINE:PATH TARGET")
    .argument("<source>", "PATH, MACHINE:PATH, or - for a tar archive on standard input")
    .argument("<target>", "MACHINE:PATH, PATH, or - for a tar archive on standard output");
  examples(command, [
    ["cp app.js web:/srv/", "A file into a directory of the machine 'web'"],
    ["cp web:/var/log ./log", "A directory out of it"],
    ["cp web:/etc - | tar t", "As a tar archive"],
  ]);
  action(command, cli, async ([source = "", target = ""]) => {
    await copy(cli, { source: parseCopyArgument(source), target: parseCopyArgument(target) });
    return 0;
  });
}

async function copy(
  cli: Cli,
  { source, target }: { source: CopyArgument; target: CopyArgument },
): Promise<void> {
  if (source.kind === "guest" && target.kind !== "guest") await copyOut(cli, source, target);
  else if (target.kind === "guest" && source.kind !== "guest") await copyIn(cli, source, target);
  else
    throw new SupermachineError(
      "INVALID_ARGUMENT",
      source.kind === "guest" ? "Cannot copy from machine to machine" : "Neither side names a machine",
      { hint: "Write one side as MACHINE:PATH and the other as a path of this host" },
    );
}

type Guest = CopyArgument & { kind: "guest" };
type Here = Exclude<CopyArgument, Guest>;

async function copyIn(cli: Cli, source: Here, target: Guest): Promise<void> {
  const { Machine } = await cli.library();
  await using machine = await Machine.connect(target.machine);
  await interruptible(cli, async (signal) => {
    if (source.kind === "host") return machine.files.copyIn(source.path, target.path);
    if (cli.host.stdin.isTTY === true)
      throw new SupermachineError("INVALID_ARGUMENT", "Cannot read a tar archive from a terminal", {
        hint: "Redirect standard input: supermachine cp - MACHINE:DIR < archive.tar",
      });
    return machine.files.writeTar(target.path, abortable(cli.host.stdin, signal));
  });
}

async function copyOut(cli: Cli, source: Guest, target: Here): Promise<void> {
  const { stdout } = cli.host;
  const { Machine } = await cli.library();
  await using machine = await Machine.connect(source.machine);
  await interruptible(cli, async (signal) => {
    if (target.kind === "host") return machine.files.copyOut(source.path, target.path);
    if (stdout.isTTY === true)
      throw new SupermachineError("INVALID_ARGUMENT", "Will not write a tar archive to a terminal", {
        hint: "Redirect standard output: supermachine cp MACHINE:PATH - > archive.tar",
      });
    for await (const chunk of abortable(machine.files.readTar(source.path), signal))
      if (!stdout.write(chunk)) await once(stdout, "drain", { signal });
  });
}

async function* abortable(
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    signal.throwIfAborted();
    yield chunk;
  }
}
