import { SupermachineError } from "../../errors/supermachine-error.ts";
import type { Engine, EngineConfig, EngineMachine, EngineSupport } from "../engine.ts";
import type { QemuInstallation } from "./installation.ts";
// The rest is imported when it is used: mostly another engine is.

/**
 * The reference engine: an installed `qemu-system-*` with the best accelerator it has here. It needs no hypervisor, so
 * it runs anywhere, but without one the guest is emulated: slow, and no security boundary.
 */
export const qemuEngine: Engine = {
  name: "qemu",

  async probe(): Promise<EngineSupport> {
    const architecture = process.arch === "arm64" ? "arm64" : "x64";
    const { findQemu } = await import("./installation.ts");
    const found = await findQemu(architecture);
    if (!("binary" in found))
      return { usable: false, isolating: false, network: true, detail: "QEMU", ...found };
    return {
      usable: true,
      accelerator: found.accelerator,
      isolating: found.accelerator !== "tcg",
      network: true,
      detail: `QEMU ${found.version}, ${acceleratorNames[found.accelerator]}`,
      ...found.slow,
    };
  },

  async start(config: EngineConfig): Promise<EngineMachine> {
    if (config.origin.kind === "snapshot")
      throw new SupermachineError("UNSUPPORTED", "The engine 'qemu' cannot restore snapshots", {
        hint: "Use the engine 'vmm'",
      });
    const { QemuMachine } = await import("./machine.ts");
    return await QemuMachine.start(config, await usableQemu(config));
  },
};

const acceleratorNames: Record<QemuInstallation["accelerator"], string> = {
  kvm: "KVM",
  hvf: "Hypervisor.framework",
  tcg: "software emulation (TCG)",
};

async function usableQemu({ architecture }: EngineConfig): Promise<QemuInstallation> {
  const { findQemu } = await import("./installation.ts");
  const found = await findQemu(architecture);
  if ("binary" in found) return found;
  throw new SupermachineError("ENGINE_UNAVAILABLE", `The qemu engine cannot run here: ${found.reason}`, {
    hint: found.remedy,
  });
}
