import { availableParallelism } from "node:os";
import { defaultCpus } from "../machine/default-cpus.ts";
import { Home } from "../storage/home.ts";
import type { CliHost } from "./cli.ts";

/** This process: its standard streams, environment and signals. */
export function processHost(
  outputClosed: AbortSignal = new AbortController().signal,
  streams: Pick<CliHost, "stdout" | "stderr"> = process,
): CliHost {
  return {
    // Opening standard input starts reading it on some streams, so it is left alone until a command wants it.
    get stdin() {
      return process.stdin;
    },
    get stdout() {
      return streams.stdout;
    },
    get stderr() {
      return streams.stderr;
    },
    env: process.env,
    signals: process,
    outputClosed,
    exit: (code) => process.exit(code),
    prepareMachine: async ({ engine = "auto", cpus = defaultCpus(availableParallelism()) }) => {
      if (engine === "qemu") return;
      const { headStart } = await import("../engine/vmm/head-start.ts");
      headStart(cpus, new Home());
    },
    loadLibrary: async () => (await import("./library.ts")).loadLibrary(),
  };
}
