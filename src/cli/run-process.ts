import { Cli, type CliHost } from "./cli.ts";
import { exitCodes } from "./exit-code.ts";
import { main, report } from "./main.ts";
import { processHost } from "./process-host.ts";
import { ProcessStreams } from "./process-streams.ts";

/**
 * Runs a command line as this process: what nobody caught becomes one clear message, a reader that went away ends us
 * quietly, and the process ends with the command even if something still holds the event loop.
 */
export async function runProcess(
  argv: readonly string[],
  overrides: Partial<Pick<CliHost, "loadLibrary">> = {},
): Promise<void> {
  const outputClosed = new AbortController();
  const streams = new ProcessStreams((error) => {
    if (error.code === "EPIPE" || error.code === "EIO") outputClosed.abort();
    else crash(error);
  });
  const host = Object.defineProperties(
    processHost(outputClosed.signal, streams),
    Object.getOwnPropertyDescriptors(overrides),
  );
  const crash = (error: unknown) => {
    report(new Cli(host), { error });
    process.exit(exitCodes.ownFailure);
  };
  // Node's own warnings (an experimental API below us) are for developers.
  if (!new Cli(host).debug) process.removeAllListeners("warning");
  process.on("uncaughtException", crash);
  process.on("unhandledRejection", crash);

  // Without this, a promise that can no longer settle would end the process without a word.
  const stuck = () => crash(new Error("nothing is left that could finish this command"));
  process.on("beforeExit", stuck);

  const exitCode = await main(argv, host);
  await streams.flush();
  process.exit(outputClosed.signal.aborted && exitCode === 0 ? exitCodes.brokenPipe : exitCode);
}
