import type { Command } from "commander";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import type { Machine } from "../../machine/machine.ts";
import type { EngineName, MachineOptions, PullPolicy } from "../../machine/types.ts";
import type { Cli } from "../cli.ts";
import { action, type CommandDefinition, examples } from "../command-definition.ts";
import { engineOption, numberOf, pullOption } from "../input/machine-options.ts";
import { type StartOptions, startedMachine, startOptions } from "../input/start-options.ts";
import type { GuestMachine, Library } from "../library.ts";
import { runForeground, startDetached } from "../start-machine.ts";

interface RunOptions extends StartOptions {
  entrypoint?: string;
  memory?: string;
  cpus?: string;
  platform?: string;
  pull?: PullPolicy;
  engine?: EngineName | "auto";
  kernel?: string;
  snapshot: boolean;
  warmup?: string;
}

/** `supermachine run` */
export const run: CommandDefinition = {
  define,
  operands: [{ kind: "image" }, { kind: "none" }],
  optionValues: { "--env-file": { kind: "file" }, "--kernel": { kind: "file" } },
  runsGuestCommand: true,
};

function define(command: Command, cli: Cli): void {
  startOptions(
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
      .argument("[command...]", "command and arguments; options after the image belong to the command"),
  )
    .option("--entrypoint <command>", "run this in place of the image's entrypoint")
    .option("-m, --memory <size>", "memory, such as 512m or 2g (default: 512 MiB)")
    .option("--cpus <number>", "virtual CPUs")
    .option("--platform <os/arch[/variant]>", "take this variant of the image")
    .addOption(pullOption)
    .addOption(engineOption)
    .option("--kernel <file>", "boot this guest kernel")
    .option("--no-snapshot", "boot, instead of going on from a snapshot of a booted machine")
    .option(
      "--warmup <script>",
      "run this once with sh in a machine of its own, keep that machine's state, and start from it from then on",
    );
  examples(command, [
    ["run alpine echo hello", "Run a command"],
    ["run -it debian bash", "Work in a shell"],
    ["run -i alpine sha256sum < file", "Send a file through a command"],
    ["run -d --name web -p 8080:80 nginx", "Run a server in the background"],
    ["run --warmup 'npm ci' app npm test", "Prepare once, and start from there each time"],
    ["run docker-archive:app.tar", "Run what 'docker save' wrote"],
  ]);
  command.addHelpText(
    "after",
    `
Exit codes: the command's own; 128 + n when signal n ended it; 125 when supermachine failed; 126 when the command
cannot be executed; 127 when it does not exist.`,
  );
  action<RunOptions>(command, cli, async ([image = "", ...argv], options) => {
    const machineOptions = machineOf(options, cli);
    const createFrom = options.warmup === undefined ? createFresh : createWarm(options.warmup);
    if (options.detach === true) {
      const main = { detached: true, command: argv, tty: options.tty === true, remove: options.rm === true };
      return await startDetached(cli, {
        options,
        create: (library, given) => createFrom(library, image, { ...machineOptions, ...main, ...given }),
      });
    }
    await cli.host.prepareMachine(machineOptions);
    return await runForeground(cli, {
      options,
      create: (library, given) => createFrom(library, image, { ...machineOptions, remove: true, ...given }),
      choose: async (machine) => (streams) => machine.run(argv, streams),
    });
  });
}

type CreateFrom = (library: Library, image: string, options: MachineOptions) => Promise<GuestMachine>;

const createFresh: CreateFrom = ({ Machine }, image, options) => Machine.create(image, options);

/** From the kept state of a machine in which the script has run; made when there is none for this image and these options. */
function createWarm(script: string): CreateFrom {
  return async ({ Image, Machine }, image, options) => {
    if (options.snapshot === false)
      throw new SupermachineError(
        "INVALID_ARGUMENT",
        "--warmup keeps a snapshot, which --no-snapshot forbids",
        {
          hint: "Leave one of them out",
        },
      );
    const { memory, cpus, platform, pull, kernel, entrypoint, snapshot: _, ...others } = options;
    const { env, workdir, user, network, engine, onProgress, onWarning, signal } = options;
    const { id } = await Image.prepare(image, {
      ...{ memory, cpus, platform, pull, kernel, entrypoint },
      ...{ env, workdir, user, network, engine, onProgress, onWarning, signal },
      key: script,
      warmup: async (machine) => await warmUp(machine, script),
    });
    return await Machine.create({ ...others, snapshot: id });
  };
}

/** The script's failure, with what it printed. */
async function warmUp(machine: Pick<Machine, "shell">, script: string): Promise<void> {
  const { exitCode, signal, stdout, stderr } = await machine.shell(script);
  if (exitCode === 0) return;
  const how = signal === undefined ? `exited with ${exitCode}` : `was ended by ${signal}`;
  const lines = `${stdout}${stderr}`.trimEnd().split("\n");
  throw new SupermachineError("EXEC_FAILED", `The warm-up '${script.slice(0, 200)}' ${how}`, {
    data: { exitCode, signal, console: lines },
  });
}

function machineOf(options: RunOptions, cli: Cli): MachineOptions {
  const { cpus, entrypoint } = options;
  return {
    ...startedMachine(options, cli.host),
    memory: options.memory,
    cpus:
      cpus === undefined
        ? undefined
        : numberOf(cpus, { option: "--cpus", integer: true, minimum: 1, maximum: 1024 }),
    platform: options.platform,
    pull: options.pull,
    engine: options.engine,
    kernel: options.kernel,
    ...(options.snapshot ? {} : { snapshot: false }),
    // As in docker, an empty entrypoint means none: the command stands alone.
    entrypoint: entrypoint === undefined ? undefined : entrypoint === "" ? [] : [entrypoint],
  };
}
