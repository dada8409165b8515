import { checkFits } from "../../snapshot/check-fits.ts";
import { type SnapshotLease, SnapshotStore } from "../../snapshot/host/snapshot-store.ts";
import { fileIdentity } from "../../storage/file-identity.ts";
import { Home } from "../../storage/home.ts";
import type { DescriptorWatch } from "../../sys/linux/descriptor-watch.ts";
import type { EngineConfig } from "../engine.ts";
import { kernelCommandLine } from "./guest-devices.ts";
import { rootRegionLengthOf } from "./root-image.ts";
import { type ThisHost, thisHost } from "./this-host.ts";

/**
 * The template for a configuration: a machine that has booted up to the point where its agent waits, and that has no
 * image yet. The same one serves every image that its region has room for. Made when there is none that fits, by one
 * process however many ask.
 *
 * @throws SupermachineError `BOOT_FAILED`, `GUEST_PANIC`, `BOOT_TIMEOUT`, `NO_SPACE`, `PERMISSION_DENIED`.
 */
export async function useTemplate(config: EngineConfig, watch: DescriptorWatch): Promise<SnapshotLease> {
  const store = new SnapshotStore(new Home(config.home));
  const host = thisHost(config);
  const rootLength = rootRegionLengthOf(config.rootfs);
  return await store.keyed(templateKey(config, host, rootLength), {
    make: async () => {
      const { makeTemplate } = await import("./make-template.ts");
      return await makeTemplate({ ...config, rootfs: { emptyLength: rootLength } }, { watch, store, host });
    },
    reject: (manifest) => checkFits(manifest, host),
  });
}

/** Everything that the template's contents depend on. */
function templateKey(
  { cpus, memoryMiB, kernel }: EngineConfig,
  { version, cpu }: ThisHost,
  rootLength: number,
): string {
  return JSON.stringify({
    kind: "template",
    version,
    cpu: cpu.digest,
    cpus,
    memoryMiB,
    rootLength,
    commandLine: kernelCommandLine(),
    kernel: fileIdentity(kernel.image),
    initramfs: fileIdentity(kernel.initramfs),
  });
}
