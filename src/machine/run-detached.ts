import { SupermachineError } from "../errors/supermachine-error.ts";
import { Home } from "../storage/home.ts";
import type { CreationParts } from "./creation-parts.ts";
import type { DetachedAnswer, DetachedJob } from "./detached-monitor.ts";
import { MachineRegistry } from "./machine-registry.ts";
import { Monitor } from "./monitor.ts";

/**
 * The life of a detached monitor's process: takes its job from the parent, boots, answers, and stays until the machine
 * has ended. Everything it prints goes to the machine's `monitor.log`.
 */
export async function runDetached(parts: Pick<CreationParts, "engines" | "openAgent">): Promise<void> {
  const parentGone = new AbortController();
  const onDisconnect = () => parentGone.abort();
  process.once("disconnect", onDisconnect);
  const {
    job,
    engine: name,
    home,
  } = await new Promise<DetachedJob>((resolve, reject) => {
    process.once("message", (message) => resolve(message as DetachedJob));
    parentGone.signal.addEventListener("abort", () => reject(new Error("The parent gave up")), {
      once: true,
    });
  });
  const registry = new MachineRegistry(new Home(home));
  try {
    const engine = parts.engines.find((candidate) => candidate.name === name);
    if (engine === undefined) throw new SupermachineError("INTERNAL", `There is no engine '${name}'`);
    engine.prepare?.(job.record.config.cpus);
    const monitor = await Monitor.start(job, {
      engine,
      openAgent: parts.openAgent,
      registry,
      signal: parentGone.signal,
    });
    process.off("disconnect", onDisconnect);
    process.on("SIGTERM", () => void monitor.stop());
    await answer({ ready: true });
    await monitor.wait();
  } catch (error) {
    // The parent does it as well, if it still lives.
    registry.remove(job.record);
    await answer({ error: wireForm(error) });
    process.exitCode = 1;
  }
}

/** Resolves also when the parent has gone: nobody is left to be told. */
async function answer(message: DetachedAnswer): Promise<void> {
  if (process.connected)
    await new Promise<void>((resolve) => process.send?.(message, undefined, undefined, () => resolve()));
  if (process.connected) process.disconnect();
}

function wireForm(error: unknown): unknown {
  if (error instanceof SupermachineError) return error.toJSON();
  return new SupermachineError("INTERNAL", "The machine's monitor failed", { cause: error }).toJSON();
}
