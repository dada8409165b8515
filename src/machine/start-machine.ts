import type { GuestKernel, MachineOrigin } from "../engine/engine.ts";
import type { SelectedEngine } from "../engine/select.ts";
import { SupermachineError } from "../errors/supermachine-error.ts";
import type { Home } from "../storage/home.ts";
import { identifyProcess } from "../storage/process-identity.ts";
import type { CreationParts } from "./creation-parts.ts";
import type { GuestDefaults } from "./guest-command.ts";
import { LocalLink } from "./local-link.ts";
import type { MachineLink } from "./machine-link.ts";
import { generateName } from "./machine-name.ts";
import type { MachineRecord } from "./machine-record.ts";
import { MachineRegistry } from "./machine-registry.ts";
import { Monitor } from "./monitor.ts";
import type { MonitorJob } from "./monitor-job.ts";
import type { SavedMachine } from "./saved-machine.ts";
import type { MachineConfig, MachineOptions, PhaseTiming } from "./types.ts";

const bootTimeoutMs = { isolating: 60_000, emulated: 180_000 };
/** Names are two random words: a few tries always find a free pair. */
const nameTries = 20;

/** A machine with everything that it needs in place: what is left is to start it. */
export interface MachinePlan {
  readonly config: MachineConfig;
  readonly choice: SelectedEngine;
  /** Canonical name of the image. */
  readonly image: string;
  readonly imageDigest: string;
  readonly defaults: GuestDefaults;
  readonly volumes: readonly string[];
  readonly architecture: "x64" | "arm64";
  /** Path of the EROFS image. */
  readonly rootfs: string;
  readonly kernel: GuestKernel;
  /** What has been done so far. */
  readonly timings: readonly PhaseTiming[];
  readonly origin: MachineOrigin;
  /** A main command that runs already, in the snapshot. */
  readonly main?: SavedMachine["main"];
}

/** Gives a machine its record and starts it, here or in a process of its own. After a failure nothing of it is left. */
export async function startMachine(
  plan: MachinePlan,
  {
    home,
    options,
    parts,
  }: { home: Home; options: Pick<MachineOptions, "onProgress" | "signal">; parts: CreationParts },
): Promise<MachineLink> {
  const { config, choice } = plan;
  const { signal } = options;
  const registry = new MachineRegistry(home);
  const reportBoot = (state: "active" | "done") => options.onProgress?.({ phase: "boot", id: "", state });
  reportBoot("active");
  const record = await addRecord(registry, plan);
  try {
    const job = monitorJob(plan, { record, home });
    if (config.detached) {
      const { monitorEntry: entry } = parts;
      const [{ startDetached }, { RemoteLink }] = await Promise.all([
        import("./detached-monitor.ts"),
        import("./remote-link.ts"),
      ]);
      await startDetached(job, { entry, engine: choice.engine.name, registry, home, signal });
      reportBoot("done");
      return await RemoteLink.open((await registry.read(record.info.id)) ?? record, registry);
    }
    const { openAgent } = parts;
    const monitor = await Monitor.start(job, { engine: choice.engine, openAgent, registry, signal });
    reportBoot("done");
    return new LocalLink(monitor, registry);
  } catch (error) {
    registry.remove(record);
    throw error;
  }
}

function monitorJob(plan: MachinePlan, { record, home }: { record: MachineRecord; home: Home }): MonitorJob {
  const { config, choice, architecture, rootfs, volumes, kernel, origin, main } = plan;
  const usual = choice.support.isolating ? bootTimeoutMs.isolating : bootTimeoutMs.emulated;
  return {
    record,
    architecture,
    rootfs,
    volumes,
    kernel,
    home: home.root,
    origin,
    ...(main === undefined ? {} : { main }),
    bootTimeoutMs: config.bootTimeoutMs ?? usual,
  };
}

async function addRecord(registry: MachineRegistry, plan: MachinePlan): Promise<MachineRecord> {
  const { config, choice } = plan;
  const owner = identifyProcess();
  for (let tries = 1; ; tries++) {
    const name = config.name ?? generateName();
    const make = (place: { id: string; runDirectory: string }): MachineRecord => ({
      version: 2,
      info: {
        id: place.id,
        name,
        state: "creating",
        image: plan.image,
        imageDigest: plan.imageDigest,
        engine: choice.engine.name,
        accelerator: choice.support.accelerator,
        kernel: plan.kernel.release,
        cpus: config.cpus,
        memoryMiB: config.memoryMiB,
        ...(config.reclaimAfterMs === false ? {} : { reclaimAfterMs: config.reclaimAfterMs }),
        network: config.network,
        ports: config.ports,
        labels: config.labels,
        detached: config.detached,
        createdAt: Date.now(),
        pid: process.pid,
        ...(plan.origin.kind === "snapshot" ? { snapshot: plan.origin.id } : {}),
        timings: plan.timings,
      },
      config,
      defaults: plan.defaults,
      owner,
      runDirectory: place.runDirectory,
    });
    try {
      return await registry.add(name, make);
    } catch (error) {
      const taken = error instanceof SupermachineError && error.code === "NAME_IN_USE";
      if (!taken || config.name !== undefined || tries === nameTries) throw error;
    }
  }
}
