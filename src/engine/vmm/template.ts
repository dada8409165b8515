import { checkFits } from "../../snapshot/check-fits.ts";
import { type SnapshotLease, SnapshotStore } from "../../snapshot/host/snapshot-store.ts";
import { fileIdentity } from "../../storage/file-identity.ts";
import { Home } from "../../storage/home.ts";
import type { DescriptorWatch } from "../../sys/linux/descriptor-watch.ts";
import type { EngineConfig } from "../engine.ts";
import { kernelCommandLine } from "./guest-devices.ts";
import { type ThisHost, thisHost } from "./this-host.ts";

/**
 * The template for a configuration: a machine that has booted up to the point where its agent waits, and that has no
 * image yet. The same one serves every image. Made when there is none that fits, by one process however many ask.
 *
 * @throws SupermachineError `BOOT_FAILED`, `GUEST_PANIC`, `BOOT_TIMEOUT`, `NO_SPACE`, `PERMISSION_DENIED`.
 */
export async function useTemplate(config: EngineConfig, watch: DescriptorWatch): Promise<SnapshotLease> {
  const store = new SnapshotStore(new Home(config.home));
  const host = thisHost(config);
  return await store.keyed(templateKey(config, host), {
    make: async () => {
      const { makeTemplate } = await import("./make-template.ts");
      return await makeTemplate(config, { watch, store, host });
    },
    reject: (manifest) => checkFits(manifest, host),
  });
}

/** Everything that the template's contents depend on. */
function templateKey({ cpus, memoryMiB, kernel }: EngineConfig, { version, cpu }: ThisHost): string {
  return JSON.stringify({
    kind: "template",
    version,
    cpu: cpu.digest,
    cpus,
    memoryMiB,
    commandLine: kernelCommandLine(),
    kernel: fileIdentity(kernel.image),
    initramfs: fileIdentity(kernel.initramfs),
  });
}
