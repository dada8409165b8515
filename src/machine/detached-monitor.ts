import { type ChildProcess, spawn } from "node:child_process";
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { SupermachineError } from "../errors/supermachine-error.ts";
import type { Home } from "../storage/home.ts";
import { aborted } from "./boot-limit.ts";
import type { MachineRegistry } from "./machine-registry.ts";
import type { MonitorJob } from "./monitor-job.ts";
import type { EngineName } from "./types.ts";

/** What the monitor's process is told, once, when it has started. */
export interface DetachedJob {
  readonly job: MonitorJob;
  readonly engine: EngineName;
  /** Root folder of the home. */
  readonly home: string;
}

/** What it answers, once. `error` is an error's wire form. */
export type DetachedAnswer = { readonly ready: true } | { readonly error: unknown };

/** How much of a dead monitor's own output is shown. */
const lastWordsBytes = 4096;

/**
 * Starts a machine's monitor in a process of its own, in its own session, so that it outlives this process and its
 * terminal. Resolves when the machine takes commands; rejects with the monitor's own error.
 */
export async function startDetached(
  job: MonitorJob,
  options: {
    entry: URL;
    engine: EngineName;
    registry: MachineRegistry;
    home: Home;
    signal?: AbortSignal | undefined;
  },
): Promise<void> {
  const { entry, engine, registry, home, signal } = options;
  const folder = registry.folder(job.record.info.id);
  const output = await open(join(folder, "monitor.log"), "a", 0o600);
  try {
    const child = spawn(process.execPath, [fileURLToPath(entry), engine, `${job.record.config.cpus}`], {
      // "/" so that no folder is kept busy that somebody wants to unmount; setsid(2) comes with `detached`.
      cwd: "/",
      detached: true,
      stdio: ["ignore", output.fd, output.fd, "ipc"],
    });
    const message: DetachedJob = { job, engine, home: home.root };
    await handshake(child, { message, folder, signal });
  } finally {
    await output.close();
  }
}

async function handshake(
  child: ChildProcess,
  options: { message: DetachedJob; folder: string; signal: AbortSignal | undefined },
): Promise<void> {
  const { message, folder, signal } = options;
  const answer = new Promise<DetachedAnswer>((resolve, reject) => {
    child.once("message", (value) => resolve(value as DetachedAnswer));
    child.once("error", reject);
    child.once("exit", (code, killedBy) => reject(new MonitorDied(killedBy ?? `status ${code}`)));
  });
  // Closing the channel is what tells a monitor that is still booting to undo everything.
  const abort = () => child.connected && child.disconnect();
  signal?.addEventListener("abort", abort, { once: true });
  try {
    if (signal?.aborted === true) abort();
    else child.send(message, () => {});
    const given = await answer;
    if (!("ready" in given)) throw SupermachineError.fromJSON(given.error);
  } catch (error) {
    if (signal?.aborted === true) throw aborted(signal.reason);
    if (error instanceof SupermachineError) throw error;
    const words = await readFile(join(folder, "monitor.log"), "utf8").catch(() => "");
    throw new SupermachineError("BOOT_FAILED", "The machine's monitor process died while it started", {
      cause: error,
      data: { output: words.slice(-lastWordsBytes) },
    });
  } finally {
    signal?.removeEventListener("abort", abort);
    if (child.connected) child.disconnect();
    child.unref();
  }
}

class MonitorDied extends Error {
  constructor(how: string) {
    super(`The process ended with ${how}`);
  }
}
