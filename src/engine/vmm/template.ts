import { setTimeout as delay } from "node:timers/promises";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import { checkFits } from "../../snapshot/check-fits.ts";
import { type SnapshotLease, SnapshotStore } from "../../snapshot/host/snapshot-store.ts";
import { KIND_LABEL } from "../../snapshot/labels.ts";
import type { SnapshotId } from "../../snapshot/manifest.ts";
import { fileIdentity } from "../../storage/file-identity.ts";
import { Home } from "../../storage/home.ts";
import type { DescriptorWatch } from "../../sys/linux/descriptor-watch.ts";
import type { EngineConfig } from "../engine.ts";
import { captureMachine } from "./capture.ts";
import { kernelCommandLine } from "./guest-devices.ts";
import { VmmMachine } from "./machine.ts";
import { type ThisHost, thisHost } from "./this-host.ts";

/** Longest time that a guest may take to boot; software emulation on a busy machine takes tens of seconds. */
const bootDeadlineMs = 120_000;
/** What the guest has left to do when its agent has heard from us, such as freeing what it needed at boot. */
const settleMs = 200;

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
    make: () => makeTemplate(config, { watch, store, host }),
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

async function makeTemplate(
  config: EngineConfig,
  { watch, store, host }: { watch: DescriptorWatch; store: SnapshotStore; host: ThisHost },
): Promise<SnapshotId> {
  await using writer = await store.create();
  await using machine = VmmMachine.boot({ ...config, rootfs: undefined }, watch);
  await agentReady(machine);
  const request = {
    components: [],
    labels: { [KIND_LABEL]: "template" },
    onResumed: () => {},
    durable: true,
  };
  return await captureMachine(machine, { writer, host, kernel: config.kernel }, request);
}

/** The agent's word that it is there; its connection ends again, so that the template's guest waits for another. */
async function agentReady(machine: VmmMachine): Promise<void> {
  const late = new AbortController();
  const deadline = delay(bootDeadlineMs, undefined, { signal: late.signal }).then(() => {
    const text = `The guest did not boot within ${bootDeadlineMs} ms`;
    throw new SupermachineError("BOOT_TIMEOUT", text, { data: { console: machine.consoleLines() } });
  });
  deadline.catch(() => {});
  const stream = await Promise.race([machine.agent, deadline]);
  late.abort();
  stream.destroy();
  await delay(settleMs);
}
