import type { Command } from "commander";
import type { EngineName, MachineOptions, PullPolicy } from "../../machine/types.ts";
import { attach, requireTerminal, terminalSize } from "../attach/attach.ts";
import { interruptible } from "../attach/interruption.ts";
import type { Cli } from "../cli.ts";
import { action, type CommandDefinition, examples, listOption } from "../command-definition.ts";
import {
  type EnvironmentOptions,
  engineOption,
  environmentOf,
  guestCommandOptions,
  labelsOf,
  networkOption,
  numberOf,
  pullOption,
} from "../input/machine-options.ts";
import type { GuestMachine } from "../library.ts";
import { formatTimings } from "../output/timings.ts";

interface RunOptions extends EnvironmentOptions {
  interactive?: true;
  tty?: true;
  detach?: true;
  workdir?: string;
  user?: string;
  publish?: string[];
  name?: string;
  rm?: true;
  entrypoint?: string;
  hostname?: string;
  memory?: string;
  cpus?: string;
  network?: "user" | "none";
  label?: string[];
  platform?: string;
  pull?: PullPolicy;
  engine?: EngineName | "auto";
  kernel?: string;
  snapshot: boolean;
  quiet?: true;
  timings?: true;
}

/** `supermachine run` */
export const run: CommandDefinition = {
  define,
  operands: [{ kind: "image" }, { kind: "none" }],
  optionValues: { "--env-file": { kind: "file" }, "--kernel": { kind: "file" } },
  runsGuestCommand: true,
};

function define(command: Command, cli: Cli): void {
  guestCommandOptions(
    command
      .description(
        "Makes a machine from an image and runs a command in it: the one given, or what the image is made to run.\n\n" +
          "In the foreground, the command is joined to this terminal, its exit code becomes ours, and nothing is left " +
          "when it ends. With -d the machine runs on by itself; its record and log stay until 'supermachine rm', or " +
          "until it ends with --rm.",
      )
      .usage("[options] IMAGE [COMMAND] [ARGUMENTS...]")
      .argument(
        "<image>",
        "image reference, or oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE, - for standard input",
      )
      .argument("[command...]", "command and arguments; options after the image belong to the command")
      .passThroughOptions()
      .option("-d, --detach", "run in the background and print the machine's id"),
  )
    .addOption(
      listOption(
        "-p, --publish <[IP:]HOST:GUEST>",
        "lead a port of this host (127.0.0.1) to one of the guest",
      ),
    )
    .option("--name <name>", "name of the machine")
    .option("--rm", "with -d: remove the machine when it ends")
    .option("--entrypoint <command>", "run this in place of the image's entrypoint")
    .option("-h, --hostname <name>", "host name in the guest")
    .option("-m, --memory <size>", "memory, such as 512m or 2g (default: 512 MiB)")
    .option("--cpus <number>", "virtual CPUs")
    .addOption(networkOption)
    .addOption(listOption("-l, --label <KEY=VALUE>", "attach a label to the machine"))
    .option("--platform <os/arch[/variant]>", "take this variant of the image")
    .addOption(pullOption)
    .addOption(engineOption)
    .option("--kernel <file>", "boot this guest kernel")
    .option("--no-snapshot", "boot, instead of going on from a snapshot of a booted machine")
    .option("-q, --quiet", "no progress and no warnings")
    .option("--timings", "print how long each step took, on standard error");
  examples(command, [
    ["run alpine echo hello", "Run a command"],
    ["run -it debian bash", "Work in a shell"],
    ["run -i alpine sha256sum < file", "Send a file through a command"],
    ["run -d --name web -p 8080:80 nginx", "Run a server in the background"],
    ["run docker-archive:app.tar", "Run what 'docker save' wrote"],
  ]);
  command.addHelpText(
    "after",
    `
Exit codes: the command's own; 128 + n when signal n ended it; 125 when supermachine failed; 126 when the command
cannot be executed; 127 when it does not exist.`,
  );
  action<RunOptions>(command, cli, ([image = "", ...argv], options) =>
    options.detach === true
      ? runDetached(cli, { image, argv, options })
      : runForeground(cli, { image, argv, options }),
  );
}

interface Request {
  readonly image: string;
  readonly argv: readonly string[];
  readonly options: RunOptions;
}

async function runDetached(cli: Cli, { image, argv, options }: Request): Promise<undefined> {
  const machine = await create(cli, {
    image,
    options,
    extra: { detached: true, command: argv, tty: options.tty === true, remove: options.rm === true },
  });
  await using _ = machine;
  cli.print(`${machine.id}\n`);
  if (options.timings === true) await printTimings(cli, machine);
}

async function runForeground(cli: Cli, { image, argv, options }: Request): Promise<number> {
  const interactive = options.interactive === true;
  const tty = options.tty === true;
  requireTerminal(cli, { interactive, tty });
  await using machine = await create(cli, { image, options, extra: { remove: true } });
  try {
    const execution = machine.run(argv, {
      stdin: interactive ? "pipe" : "none",
      tty: tty ? terminalSize(cli.host.stdout) : false,
    });
    const exitCode = await attach(cli, execution, { interactive, tty, forceKill: () => machine.kill() });
    if (options.timings === true) await printTimings(cli, machine);
    return exitCode;
  } finally {
    // Nothing of it is kept, so the guest need not be asked to write anything back.
    await machine.kill();
  }
}

async function create(
  cli: Cli,
  request: { image: string; options: RunOptions; extra: MachineOptions },
): Promise<GuestMachine> {
  const { image, options, extra } = request;
  const quiet = options.quiet === true;
  // Shown once the machine is there: beside an error they would only hide what matters.
  const warnings: string[] = [];
  const machineOptions: MachineOptions = {
    name: options.name,
    memory: options.memory,
    cpus:
      options.cpus === undefined
        ? undefined
        : numberOf(options.cpus, { option: "--cpus", integer: true, minimum: 1, maximum: 1024 }),
    env: await environmentOf(options, cli.host),
    workdir: options.workdir,
    user: options.user,
    hostname: options.hostname,
    network: options.network,
    ports: options.publish,
    labels: labelsOf(options.label),
    platform: options.platform,
    pull: options.pull,
    engine: options.engine,
    kernel: options.kernel,
    snapshot: options.snapshot ? undefined : false,
    // As in docker, an empty entrypoint means none: the command stands alone.
    entrypoint:
      options.entrypoint === undefined ? undefined : options.entrypoint === "" ? [] : [options.entrypoint],
    onWarning: (message) => warnings.push(message),
    ...extra,
  };
  const { Machine } = await cli.library();
  const progress = cli.startProgress({ quiet });
  const machine = await interruptible(cli, (signal) =>
    Machine.create(image, { ...machineOptions, onProgress: progress.listener, signal }),
  );
  cli.endProgress();
  if (!quiet) for (const message of warnings) cli.warn(message);
  return machine;
}

async function printTimings(cli: Cli, machine: GuestMachine): Promise<void> {
  const info = await machine.info();
  // The clock of performance.now() starts with the process.
  cli.note(formatTimings(machine.timings, { info, totalMs: performance.now() }));
}
