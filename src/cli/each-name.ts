import type { Cli } from "./cli.ts";
import { exitCodes } from "./exit-code.ts";
import { errorForJson, formatError } from "./output/error-report.ts";

/**
 * Does the same to everything that was named, all at once: one failure does not keep the others from being done.
 * Prints each name that was done (or, as JSON, an array with every name and its result or error), and each error;
 * returns the exit code.
 */
export async function eachName(
  cli: Cli,
  names: readonly string[],
  work: (name: string) => Promise<Record<string, unknown> | undefined>,
): Promise<number> {
  const outcomes = await Promise.allSettled(names.map(work));
  const failed = outcomes.some(({ status }) => status === "rejected");
  if (cli.json) {
    cli.printJson(
      outcomes.map((outcome, index) => ({
        name: names[index],
        ...(outcome.status === "fulfilled" ? outcome.value : { error: errorForJson(outcome.reason) }),
      })),
    );
    return failed ? exitCodes.failed : 0;
  }
  outcomes.forEach((outcome, index) => {
    if (outcome.status === "fulfilled") cli.print(`${names[index]}\n`);
    else cli.host.stderr.write(formatError(outcome.reason, { style: cli.style, debug: cli.debug }));
  });
  return failed ? exitCodes.failed : 0;
}
