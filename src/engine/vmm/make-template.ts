import { setTimeout as delay } from "node:timers/promises";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import type { SnapshotStore } from "../../snapshot/host/snapshot-store.ts";
import { KIND_LABEL } from "../../snapshot/labels.ts";
import type { SnapshotId } from "../../snapshot/manifest.ts";
import type { DescriptorWatch } from "../../sys/linux/descriptor-watch.ts";
import { bootMachine } from "./boot-machine.ts";
import type { VmmConfig } from "./build-machine.ts";
import { captureMachine } from "./capture.ts";
import type { VmmMachine } from "./machine.ts";
import type { ThisHost } from "./this-host.ts";

/** Longest time that a guest may take to boot; software emulation on a busy machine takes tens of seconds. */
const bootDeadlineMs = 120_000;
/** What the guest has left to do when its agent has heard from us, such as freeing what it needed at boot. */
const settleMs = 200;

/** Boots a machine up to the point where its agent waits, and keeps its state. */
export async function makeTemplate(
  config: VmmConfig,
  { watch, store, host }: { watch: DescriptorWatch; store: SnapshotStore; host: ThisHost },
): Promise<SnapshotId> {
  await using writer = await store.create();
  await using machine = bootMachine(config, watch);
  await agentReady(machine);
  const request = {
    labels: { [KIND_LABEL]: "template" },
    onPausing: async () => [],
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
