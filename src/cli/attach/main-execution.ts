import { PassThrough } from "node:stream";
import { exitError } from "../../machine/machine-end.ts";
import type { GuestExecution, GuestMachine } from "../library.ts";

type Outcome = Awaited<GuestExecution>;

/**
 * A machine's main command, as if it had been started from here: its output is read from the log, signals go to it, and
 * its end is the machine's. Nothing can be written to it.
 */
export class MainExecution implements GuestExecution {
  readonly stdin: PassThrough = new PassThrough();
  readonly stdout: AsyncIterable<Uint8Array>;
  readonly stderr: AsyncIterable<Uint8Array>;
  readonly #machine: GuestMachine;
  readonly #outcome: Promise<Outcome>;

  constructor(machine: GuestMachine) {
    this.#machine = machine;
    this.stdout = logged(machine, "stdout");
    this.stderr = logged(machine, "stderr");
    this.#outcome = outcomeOf(machine);
    this.#outcome.catch(() => {});
  }

  // biome-ignore lint/suspicious/noThenProperty: as every execution, it is awaitable
  then<A, B>(
    onFulfilled?: ((value: Outcome) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#outcome.then(onFulfilled, onRejected);
  }

  async kill(signal: string | number = "SIGTERM"): Promise<void> {
    await this.#machine.signal(signal);
  }

  /** Its terminal, if it has one, is the snapshot's. */
  resize(): void {}

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#machine.kill();
  }
}

async function* logged(machine: GuestMachine, stream: "stdout" | "stderr"): AsyncGenerator<Uint8Array> {
  for await (const entry of machine.logs({ follow: true })) if (entry.stream === stream) yield entry.bytes;
}

async function outcomeOf(machine: GuestMachine): Promise<Outcome> {
  const startedAt = performance.now();
  const exit = await machine.wait();
  if (exit.exitCode === undefined && exit.signal === undefined) throw exitError(machine.name, exit);
  return {
    exitCode: exit.exitCode,
    signal: exit.signal,
    durationMs: performance.now() - startedAt,
    timedOut: false,
    outOfMemory: exit.outOfMemory === true,
  };
}
