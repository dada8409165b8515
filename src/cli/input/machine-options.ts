import { readFileSync } from "node:fs";
import { type Command, Option } from "commander";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import type { CliHost } from "../cli.ts";
import { listOption } from "../command-definition.ts";
import { parseEnvironmentFile, parseEnvironmentOption } from "./environment.ts";

/** `-e` and `--env-file`. */
export interface EnvironmentOptions {
  env?: string[];
  envFile?: string[];
}

/** Adds the options that `run` and `exec` share. */
export function guestCommandOptions(command: Command): Command {
  return command
    .option("-i, --interactive", "pass standard input on to the command")
    .option("-t, --tty", "give the command a terminal")
    .addOption(
      listOption("-e, --env <NAME[=VALUE]>", "set an environment variable; NAME alone passes ours on"),
    )
    .addOption(listOption("--env-file <file>", "read environment variables from a file, one a line"))
    .option("-w, --workdir <dir>", "working directory in the guest")
    .option("-u, --user <name|uid[:group|gid]>", "run as this user");
}

export const networkOption: Option = new Option(
  "--network <mode>",
  "'user': outbound connections; 'none': no network device",
).choices(["user", "none"]);

export const pullOption: Option = new Option(
  "--pull <policy>",
  "when to ask the registry (default: missing)",
).choices(["missing", "always", "never"]);

export const engineOption: Option = new Option(
  "--engine <name>",
  "what carries the machine; 'supermachine doctor' says what is usable (default: auto)",
).choices(["auto", "qemu", "vmm"]);

/** The variables of all `--env-file` and `--env` options; later ones win, and options win over files. */
export function environmentOf(
  options: EnvironmentOptions,
  host: Pick<CliHost, "env">,
): Record<string, string> {
  const variables: [string, string][] = [];
  for (const path of options.envFile ?? [])
    variables.push(...parseEnvironmentFile(readTextFile(path), { path, host: host.env }));
  for (const text of options.env ?? []) {
    const variable = parseEnvironmentOption(text, host.env);
    if (variable !== undefined) variables.push(variable);
  }
  return Object.fromEntries(variables);
}

/** `--label KEY=VALUE`, or `KEY` for an empty value. */
export function labelsOf(labels: readonly string[] = []): Record<string, string> {
  return Object.fromEntries(
    labels.map((label) => {
      const separator = label.indexOf("=");
      const key = separator < 0 ? label : label.slice(0, separator);
      if (key === "") throw new SupermachineError("INVALID_ARGUMENT", `The label '${label}' has no name`);
      return [key, separator < 0 ? "" : label.slice(separator + 1)];
    }),
  );
}

/** A number from an option's text. */
export function numberOf(
  text: string,
  rule: { option: string; integer: boolean; minimum: number; maximum: number },
): number {
  const value = /^[0-9]+(\.[0-9]+)?$/.test(text) ? Number(text) : Number.NaN;
  const fits = value >= rule.minimum && value <= rule.maximum && (!rule.integer || Number.isInteger(value));
  if (!fits)
    throw new SupermachineError("INVALID_ARGUMENT", `'${text}' is not a usable value for ${rule.option}`, {
      hint: `Give a ${rule.integer ? "whole " : ""}number from ${rule.minimum} to ${rule.maximum}`,
    });
  return value;
}

function readTextFile(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new SupermachineError(
      "INVALID_ARGUMENT",
      `Cannot read the environment file '${path}'${reason(cause)}`,
      {
        cause,
        hint: "Check the path and its permissions",
      },
    );
  }
}

function reason(cause: unknown): string {
  const code = cause instanceof Error ? (cause as NodeJS.ErrnoException).code : undefined;
  return code === undefined ? "" : ` (${code})`;
}
