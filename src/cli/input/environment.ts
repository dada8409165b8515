import { SupermachineError } from "../../errors/supermachine-error.ts";

type HostEnvironment = Readonly<Record<string, string | undefined>>;

/**
 * Reads one `--env` value: `NAME=value`, or `NAME` alone, which takes the value of the calling environment and is
 * left out when it has none (as docker does).
 */
export function parseEnvironmentOption(text: string, host: HostEnvironment): [string, string] | undefined {
  const separator = text.indexOf("=");
  const name = separator < 0 ? text : text.slice(0, separator);
  if (name === "")
    throw new SupermachineError("INVALID_ARGUMENT", `The environment variable '${text}' has no name`, {
      hint: "Write --env NAME=value, or --env NAME to pass the value on from here",
    });
  if (separator >= 0) return [name, text.slice(separator + 1)];
  const value = host[name];
  return value === undefined ? undefined : [name, value];
}

/**
 * Reads an `--env-file` in docker's format: one `NAME=value` or `NAME` a line, values taken as they are (no quotes, no
 * expansion), lines that start with `#` and empty lines skipped.
 */
export function parseEnvironmentFile(
  content: Uint8Array,
  options: { path: string; host: HostEnvironment },
): [string, string][] {
  const lines = decode(content, options.path)
    .replace(/^\ufeff/, "")
    .split(/\r?\n/);
  return lines.flatMap((line, index) => {
    const entry = line.trimStart();
    if (entry === "" || entry.startsWith("#")) return [];
    const where = `line ${index + 1} of '${options.path}'`;
    const name = entry.split("=", 1)[0] ?? "";
    if (name === "")
      throw new SupermachineError("INVALID_ARGUMENT", `No variable name on ${where}`, {
        hint: "Each line is NAME=value, or NAME to pass the value on from here",
      });
    if (/\s/.test(name))
      throw new SupermachineError(
        "INVALID_ARGUMENT",
        `The variable name '${name}' on ${where} contains a space`,
        {
          hint: "Write NAME=value without spaces before the equals sign",
        },
      );
    const variable = parseEnvironmentOption(entry, options.host);
    return variable === undefined ? [] : [variable];
  });
}

function decode(content: Uint8Array, path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(content);
  } catch (cause) {
    throw new SupermachineError("INVALID_ARGUMENT", `The environment file '${path}' is not UTF-8 text`, {
      cause,
    });
  }
}
