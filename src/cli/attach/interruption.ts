import type { Cli } from "../cli.ts";

/** Thrown when the user ended a command by a signal: the process ends with the signal's code and says nothing. */
export class Interruption extends Error {
  readonly exitCode: number;

  constructor(signal: EndingSignal) {
    super(`Interrupted by ${signal}`);
    this.name = "Interruption";
    this.exitCode = 128 + endingSignals[signal];
  }
}

/** The signals by which users and systems end a command, with their numbers, which are the same on all systems. */
export const endingSignals = { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGTERM: 15 } as const;
export type EndingSignal = keyof typeof endingSignals;

/** Listens to all of them; the function that is returned stops it. */
export function onEndingSignals(cli: Cli, listener: (signal: EndingSignal) => void): () => void {
  const { signals } = cli.host;
  const removals = (Object.keys(endingSignals) as EndingSignal[]).map((signal) => {
    const one = () => listener(signal);
    signals.on(signal, one);
    return () => signals.off(signal, one);
  });
  return () => {
    for (const remove of removals) remove();
  };
}

/**
 * Runs work that a signal aborts, so that nothing half-done stays behind; a second signal ends the process without
 * waiting for that. A result that arrives all the same is disposed of, if it can be.
 */
export async function interruptible<T>(cli: Cli, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const { outputClosed } = cli.host;
  const controller = new AbortController();
  let interruption: Interruption | undefined;
  const removeListeners = onEndingSignals(cli, (signal) => {
    if (interruption !== undefined) cli.host.exit(interruption.exitCode);
    interruption = new Interruption(signal);
    controller.abort(interruption);
  });
  const onClosed = () => controller.abort();
  outputClosed.addEventListener("abort", onClosed, { once: true });
  try {
    const result = await work(controller.signal);
    if (interruption !== undefined) {
      await dispose(result);
      throw interruption;
    }
    return result;
  } catch (error) {
    throw interruption ?? error;
  } finally {
    removeListeners();
    outputClosed.removeEventListener("abort", onClosed);
  }
}

async function dispose(value: unknown): Promise<void> {
  if (typeof value === "object" && value !== null && Symbol.asyncDispose in value)
    await (value as AsyncDisposable)[Symbol.asyncDispose]();
}
