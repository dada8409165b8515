import { missingFeatures } from "./cpu-features.ts";
import type { SnapshotManifest } from "./manifest.ts";

/** What a restore would happen on. Parts that do not matter to the caller are left out. */
export interface SnapshotHost {
  /** Of supermachine. */
  readonly version: string;
  readonly engine: string;
  readonly hypervisor: string;
  readonly architecture: string;
  /** What a guest would be offered here, from `cpuFeatures`. */
  readonly cpu: { readonly vendor: string; readonly features: Readonly<Record<string, number>> };
  readonly cpus?: number;
  readonly memoryMiB?: number;
  readonly slots?: readonly string[];
  readonly kernelDigest?: string;
  readonly agentDigest?: string;
}

/** Why the snapshot cannot be restored here, in words that go on after "The snapshot does not fit: "; undefined when it can. */
export function checkFits(manifest: SnapshotManifest, host: SnapshotHost): string | undefined {
  const { madeBy, machine, cpu, kernel, agent } = manifest;
  if (isNewer(madeBy.version, host.version))
    return `it was made by supermachine ${madeBy.version}, and this is ${host.version}`;
  return (
    differs("engine", madeBy.engine, host.engine) ??
    differs("hypervisor", madeBy.hypervisor, host.hypervisor) ??
    differs("architecture", machine.architecture, host.architecture) ??
    differs("processor vendor", cpu.vendor, host.cpu.vendor) ??
    lacking(missingFeatures(cpu.features, host.cpu.features)) ??
    differs("number of CPUs", machine.cpus, host.cpus) ??
    differs("memory size in MiB", machine.memoryMiB, host.memoryMiB) ??
    differs("use of device slots", machine.slots.join(" "), host.slots?.join(" ")) ??
    differs("guest kernel", kernel.digest, host.kernelDigest) ??
    differs("guest agent", agent.digest, host.agentDigest)
  );
}

function differs(
  what: string,
  saved: string | number,
  wanted: string | number | undefined,
): string | undefined {
  return wanted === undefined || wanted === saved ? undefined : `its ${what} is '${saved}', not '${wanted}'`;
}

function lacking(features: readonly string[]): string | undefined {
  if (features.length === 0) return undefined;
  const shown = features.length > 8 ? [...features.slice(0, 8), `${features.length - 8} more`] : features;
  return `this processor lacks ${shown.join(", ")}`;
}

/** Compares "major.minor.patch"; what cannot be read counts as newer, because nothing is known about it. */
function isNewer(made: string, here: string): boolean {
  const saved = numbers(made);
  const own = numbers(here);
  if (saved === undefined || own === undefined) return made !== here;
  const at = saved.findIndex((value, index) => value !== own[index]);
  return at >= 0 && (saved[at] ?? 0) > (own[at] ?? 0);
}

function numbers(version: string): number[] | undefined {
  const [, ...parts] = /^(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?:[-+].*)?$/.exec(version) ?? [];
  return parts.length === 0 ? undefined : parts.map(Number);
}
