import type { Command } from "commander";
import type { RestoreOptions } from "../../machine/types.ts";
import type { CliHost } from "../cli.ts";
import { listOption } from "../command-definition.ts";
import {
  type EnvironmentOptions,
  environmentOf,
  guestCommandOptions,
  labelsOf,
  networkOption,
  numberOf,
} from "./machine-options.ts";

/** What can be said about every machine that is started, whatever it is made from. */
export interface StartOptions extends EnvironmentOptions {
  interactive?: true;
  tty?: true;
  detach?: true;
  workdir?: string;
  user?: string;
  publish?: string[];
  name?: string;
  rm?: true;
  hostname?: string;
  network?: "user" | "none";
  label?: string[];
  reclaimAfter?: string;
  quiet?: true;
  timings?: true;
}

/** Adds the options that `run` and `restore` share. */
export function startOptions(command: Command): Command {
  return guestCommandOptions(
    command.passThroughOptions().option("-d, --detach", "run in the background and print the machine's id"),
  )
    .addOption(
      listOption(
        "-p, --publish <[IP:]HOST:GUEST>",
        "lead a port of this host (127.0.0.1) to one of the guest",
      ),
    )
    .option("--name <name>", "name of the machine")
    .option("--rm", "with -d: remove the machine when it ends")
    .option("-h, --hostname <name>", "host name in the guest")
    .addOption(networkOption)
    .addOption(listOption("-l, --label <KEY=VALUE>", "attach a label to the machine"))
    .option(
      "--reclaim-after <seconds>",
      "have the guest drop its caches when nobody has used the machine for so long, or 'never' (default: 15)",
    )
    .option("-q, --quiet", "no progress and no warnings")
    .option("--timings", "print how long each step took, on standard error");
}

/** The library's options for them; how the machine's command is run is the caller's. */
export function startedMachine(
  options: StartOptions,
  host: Pick<CliHost, "env">,
): Omit<RestoreOptions, "snapshot"> {
  return {
    name: options.name,
    env: environmentOf(options, host),
    workdir: options.workdir,
    user: options.user,
    hostname: options.hostname,
    network: options.network,
    ports: options.publish,
    labels: labelsOf(options.label),
    reclaimAfterMs: reclaimAfterOf(options.reclaimAfter),
  };
}

function reclaimAfterOf(text: string | undefined): number | false | undefined {
  if (text === undefined) return undefined;
  const rule = { option: "--reclaim-after", integer: false, minimum: 0.001, maximum: 86_400 };
  return text === "never" ? false : numberOf(text, rule) * 1000;
}
