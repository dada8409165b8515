import type { CliHost } from "./cli.ts";

/** This process: its standard streams, environment and signals. */
export function processHost(outputClosed: AbortSignal = new AbortController().signal): CliHost {
  return {
    // Opening standard input starts reading it on some streams, so it is left alone until a command wants it.
    get stdin() {
      return process.stdin;
    },
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    signals: process,
    outputClosed,
    exit: (code) => process.exit(code),
    loadLibrary: async () => (await import("./library.ts")).loadLibrary(),
  };
}
