import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Engine, EngineMachine } from "../engine/engine.ts";
import { aborted } from "./boot-limit.ts";
import type { MonitorJob } from "./monitor-job.ts";

/** Has an engine start a job's machine, which may then take long to boot. */
export async function startEngine(
  job: MonitorJob,
  { engine, signal }: { readonly engine: Engine; readonly signal?: AbortSignal | undefined },
): Promise<EngineMachine> {
  const { record, architecture, rootfs, kernel, home, origin } = job;
  const directory = join(record.runDirectory, "engine");
  await mkdir(directory, { mode: 0o700 });
  if (signal?.aborted === true) throw aborted(signal.reason);
  return engine.start({
    id: record.info.id,
    architecture,
    cpus: record.config.cpus,
    memoryMiB: record.config.memoryMiB,
    kernel,
    rootfs,
    network: record.config.network,
    directory,
    home,
    origin,
  });
}
