import { createHash } from "node:crypto";
import type { SnapshotHost } from "../../snapshot/check-fits.ts";
import { cpuFeatures } from "../../snapshot/cpu-features.ts";
import type { SnapshotCpu } from "../../snapshot/manifest.ts";
import { productVersion } from "../../storage/product-version.ts";
import type { EngineConfig } from "../engine.ts";
import { hypervisor } from "./hypervisor.ts";

/** What a snapshot that is made here says of its surroundings, and what one that is restored here must fit. */
export interface ThisHost extends SnapshotHost {
  readonly cpu: SnapshotCpu;
}

/** As machines of this shape see it. Throws `HYPERVISOR` where there is no KVM. */
export function thisHost({
  architecture,
  cpus,
  memoryMiB,
}: Pick<EngineConfig, "architecture" | "cpus" | "memoryMiB">): ThisHost {
  return {
    version: productVersion(),
    engine: "vmm",
    hypervisor: "kvm",
    architecture,
    cpu: cpuOf(cpus),
    cpus,
    memoryMiB,
  };
}

/** By the number of vCPUs; a host's processors do not change. */
const known: Map<number, SnapshotCpu> = new Map();

function cpuOf(cpus: number): SnapshotCpu {
  const cpu = known.get(cpus) ?? describeCpu(cpus);
  known.set(cpus, cpu);
  return cpu;
}

function describeCpu(cpus: number): SnapshotCpu {
  const answers = hypervisor.guestCpuid({ index: 0, count: cpus });
  const digest = createHash("sha256").update(JSON.stringify(answers)).digest("hex");
  return { ...cpuFeatures(answers), digest };
}
