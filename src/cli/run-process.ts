import { Cli, type CliHost } from "./cli.ts";
import { exitCodes } from "./exit-code.ts";
import { main, report } from "./main.ts";
import { processHost } from "./process-host.ts";

/**
 * Runs a command line as this process: what nobody caught becomes one clear message, a reader that went away ends us
 * quietly, and the process ends with the command even if something still holds the event loop.
 */
export async function runProcess(
  argv: readonly string[],
  overrides: Partial<Pick<CliHost, "loadLibrary">> = {},
): Promise<void> {
  const outputClosed = new AbortController();
  const host = Object.defineProperties(
    processHost(outputClosed.signal),
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
  for (const stream of [process.stdout, process.stderr])
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EPIPE" || error.code === "EIO") outputClosed.abort();
      else crash(error);
    });

  // Without this, a promise that can no longer settle would end the process without a word.
  const stuck = () => crash(new Error("nothing is left that could finish this command"));
  process.on("beforeExit", stuck);

  const exitCode = await main(argv, host);
  await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
  process.exit(outputClosed.signal.aborted && exitCode === 0 ? exitCodes.brokenPipe : exitCode);
}

/** Resolves when all that was written has left the process, or never will. */
function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    if (stream.destroyed || stream.writableLength === 0) resolve();
    else stream.write("", () => resolve());
  });
}
