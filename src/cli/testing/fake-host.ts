import { EventEmitter } from "node:events";
import { PassThrough } from "node:stream";
import { buffer } from "node:stream/consumers";
import type { CliHost } from "../cli.ts";
import { main } from "../main.ts";
import { type FakeState, fakeLibrary } from "./fake-library.ts";

export interface FakeRun {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly calls: FakeState["calls"];
}

/** Runs a command line in this process, against a fake library and streams in memory. */
export async function runFake(
  argv: readonly string[],
  options: {
    input?: string;
    env?: Readonly<Record<string, string>>;
    state?: Partial<FakeState>;
    signals?: EventEmitter;
  } = {},
): Promise<FakeRun> {
  const { library, state } = fakeLibrary(options.state);
  const stdin = new PassThrough();
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const output = Promise.all([buffer(stdout), buffer(stderr)]);
  stdin.end(options.input ?? "");
  const host: CliHost = {
    stdin,
    stdout,
    stderr,
    env: options.env ?? {},
    signals: options.signals ?? new EventEmitter(),
    outputClosed: new AbortController().signal,
    exit: (code) => {
      throw new Error(`exit(${code}) was called`);
    },
    prepareMachine: async () => {},
    loadLibrary: async () => library,
  };
  const exitCode = await main(argv, host);
  stdout.end();
  stderr.end();
  const [out, err] = await output;
  return { exitCode, stdout: out.toString(), stderr: err.toString(), calls: state.calls };
}
