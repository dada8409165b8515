import { checkFits } from "../../snapshot/check-fits.ts";
import { DescriptorWatch } from "../../sys/linux/descriptor-watch.ts";
import type { Engine, EngineConfig, EngineMachine, EngineSupport, ProbeOptions } from "../engine.ts";
import { PhaseClock } from "../phase-clock.ts";
import { hypervisor } from "./hypervisor.ts";
import { rememberUsable } from "./remember-usable-kvm.ts";
import { restoreSnapshot, useSnapshot } from "./restore-snapshot.ts";
import { useTemplate } from "./template.ts";
import { thisHost } from "./this-host.ts";
import { isKnownUsable } from "./usable-kvm.ts";
import { vcpuWorkers } from "./vcpu-workers.ts";

/** One for all machines of the process: however many there are, they take one thread of Node's pool. */
const watch = new DescriptorWatch();

/** Of this process: who has found the KVM usable need not look again. */
let wasUsable = false;

/** Our own monitor, in this process, on the hypervisor of the host's kernel. */
export const vmmEngine: Engine = {
  name: "vmm",

  async probe({ home, fresh = false }: ProbeOptions = {}): Promise<EngineSupport> {
    const common = { isolating: true, network: false, detail: "supermachine's own monitor" };
    if (process.platform !== "linux" || process.arch !== "x64")
      return {
        ...common,
        usable: false,
        reason: `it does not run on ${process.platform} ${process.arch} yet`,
        remedy: "Use the engine 'qemu'",
      };
    const usable = { ...common, usable: true, accelerator: "kvm", detail: `${common.detail}, KVM` };
    if (!fresh && (wasUsable || (home !== undefined && isKnownUsable(home)))) {
      wasUsable = true;
      return usable;
    }
    const support = hypervisor.probe();
    if (!support.usable) return { ...common, ...support };
    if (home !== undefined) rememberUsable(home);
    return usable;
  },

  prepare(cpus: number): void {
    vcpuWorkers.prepare(cpus);
  },

  unfit: (manifest, shape) => checkFits(manifest, thisHost(shape)),

  async start(config: EngineConfig): Promise<EngineMachine> {
    const clock = new PhaseClock();
    const { origin } = config;
    if (origin.kind === "boot") {
      const { bootMachine } = await import("./boot-machine.ts");
      return bootMachine(config, watch, clock);
    }
    const lease = await (origin.kind === "template"
      ? useTemplate(config, watch)
      : useSnapshot(config, origin.id));
    clock.mark("open snapshot");
    return await restoreSnapshot(config, { watch, lease, clock });
  },
};
