import { bootLinux } from "../../arch/x64/boot.ts";
import { DisposalStack } from "../../lifetime/disposal-stack.ts";
import type { DescriptorWatch } from "../../sys/linux/descriptor-watch.ts";
import { PhaseClock } from "../phase-clock.ts";
import { openBootFile } from "./boot-file.ts";
import { assemble, type BuiltMachine, finish, type VmmConfig } from "./build-machine.ts";
import { kernelCommandLine } from "./guest-devices.ts";
import { VmmMachine } from "./machine.ts";
import { VirtioSlots } from "./virtio-slots.ts";

// Most machines go on from a snapshot: this is imported when one boots.

/** Boots a machine. Throws what the system refuses; then nothing is left of it. */
export function bootMachine(
  config: VmmConfig,
  watch: DescriptorWatch,
  clock: PhaseClock = new PhaseClock(),
): VmmMachine {
  const started = performance.now();
  const built = buildToBoot(config, watch, clock);
  return VmmMachine.start(built, { config, started, clock, origin: "boot" });
}

/** The recipe from a configuration to a machine that is about to boot. What fails undoes what was done. */
export function buildToBoot(config: VmmConfig, watch: DescriptorWatch, clock: PhaseClock): BuiltMachine {
  using undo = new DisposalStack();
  const parts = assemble(config, { watch, undo, clock });
  using kernel = openBootFile(config.kernel.image);
  using initramfs = openBootFile(config.kernel.initramfs);
  const entry = bootLinux(parts.vm.memory, {
    memoryBytes: config.memoryMiB * 2 ** 20,
    cpus: config.cpus,
    kernel,
    initramfs,
    commandLine: kernelCommandLine(),
    slots: VirtioSlots.layout(),
  });
  clock.mark("load kernel");
  return finish(parts, { kind: "boot", entry }, undo);
}
