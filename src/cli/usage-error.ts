import type { CommanderError } from "commander";
import { SupermachineError } from "../errors/supermachine-error.ts";

/** Turns what the parser says about a wrong command line into our form: one line, and a hint. */
export function usageError(error: CommanderError, commandName: string | undefined): SupermachineError {
  const text = error.message.replace(/^error: /, "");
  const suggestion = /\n\(Did you mean (.*)\?\)/s.exec(text)?.[1];
  const message = (text.split("\n", 1)[0] ?? text).replace(
    /\. ([A-Z])/g,
    (_, letter: string) => `; ${letter.toLowerCase()}`,
  );
  const help = `see 'supermachine ${commandName === undefined ? "" : `${commandName} `}--help'`;
  const hint = suggestion === undefined ? capitalised(help) : `Did you mean ${suggestion}? Otherwise ${help}`;
  return new SupermachineError("INVALID_ARGUMENT", capitalised(message).replace(/\.$/, ""), { hint });
}

function capitalised(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
