// Where a detached machine's process starts: `monitor-process ENGINE CPUS`; the rest of its job comes as a message.
import { useCompileCache } from "../storage/compile-cache.ts";

useCompileCache();
void start();

/** What is imported late comes from the cache; the threads start while the rest is loaded. */
async function start(): Promise<void> {
  const [engine, cpus] = process.argv.slice(2);
  if (engine === "vmm") {
    const { headStart } = await import("../engine/vmm/head-start.ts");
    headStart(Number(cpus));
  }
  const { monitorParts } = await import("./monitor-parts.ts");
  const { runDetached } = await import("./run-detached.ts");
  await runDetached(monitorParts);
}
