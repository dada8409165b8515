import { SupermachineError, type WireError } from "../../errors/supermachine-error.ts";
import { printable } from "./printable.ts";
import type { Style } from "./style.ts";

/** Lines of the guest's console shown with an error that carries them. */
const shownConsoleLines = 15;

/**
 * An error for people: one line that says what failed, the guest's last console lines if the error carries them, one
 * line with what to do. With `debug` also code, data, stack and every cause.
 */
export function formatError(error: unknown, options: { style: Style; debug: boolean }): string {
  const { style, debug } = options;
  const shown = presentable(error);
  const lines = [`${style.red("supermachine:")} ${printable(shown.message)}`];
  for (const line of consoleLines(shown)) lines.push(style.dim(`  | ${printable(line)}`));
  if (shown.hint !== undefined) lines.push(`  ${style.bold("hint:")} ${printable(shown.hint)}`);
  if (debug) lines.push(...debugLines(shown, error));
  return `${lines.join("\n")}\n`;
}

/** The same error for programs: the value of `error` in `--json` output. */
export function errorForJson(error: unknown): WireError {
  return presentable(error).toJSON();
}

/** Errors that are not ours are faults of the program, and are shown as such rather than with a bare system message. */
function presentable(error: unknown): SupermachineError {
  if (error instanceof SupermachineError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new SupermachineError("INTERNAL", `Internal error: ${firstLine(message)}`, {
    cause: error,
    hint: "This is a fault in supermachine: please report it with the output of the same command with --debug",
  });
}

function consoleLines(error: SupermachineError): readonly string[] {
  const lines = error.data["console"];
  return Array.isArray(lines) ? lines.slice(-shownConsoleLines).map(String) : [];
}

function debugLines(shown: SupermachineError, original: unknown): string[] {
  const lines = [`  code: ${shown.code}`];
  if (Object.keys(shown.data).length > 0) lines.push(`  data: ${printable(toJson(shown.data))}`);
  let cause: unknown = original;
  for (let depth = 0; cause !== undefined && depth < 10; depth++) {
    const text = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
    const [first = "", ...rest] = text.split("\n").map(printable);
    lines.push(`  ${depth === 0 ? "at" : "caused by"}: ${first}`, ...rest.map((line) => `  ${line}`));
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  return lines;
}

function toJson(value: unknown): string {
  try {
    return JSON.stringify(value) ?? "";
  } catch {
    return String(value);
  }
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? "";
}
