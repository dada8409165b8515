import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import type { OpenedSnapshot } from "../../snapshot/host/open-snapshot.ts";
import type { SnapshotWriter } from "../../snapshot/host/snapshot-writer.ts";
import type { Sha256, SnapshotId } from "../../snapshot/manifest.ts";
import type { SavedComponent } from "../../snapshot/state-codec.ts";
import type { CaptureRequest, GuestKernel } from "../engine.ts";
import type { PausedMachine, VmmMachine } from "./machine.ts";
import { preCopy } from "./pre-copy.ts";
import type { ThisHost } from "./this-host.ts";

export interface CaptureContext {
  readonly writer: SnapshotWriter;
  readonly host: ThisHost;
  readonly kernel: GuestKernel;
  /** What the machine was restored from. */
  readonly parent?: OpenedSnapshot | undefined;
}

/**
 * Makes a snapshot of a running machine: of what it has written since its own snapshot, or else of everything that is not
 * zero. Much of that is copied while the machine runs; it stands still only while the rest is.
 */
export async function captureMachine(
  machine: VmmMachine,
  context: CaptureContext,
  { labels, onPausing, onResumed, durable }: CaptureRequest,
): Promise<SnapshotId> {
  const { writer, host, kernel, parent } = context;
  const { paused, besides } = await copyMachine(machine, context, { onPausing, onResumed });
  const identity = parent?.manifest ?? (await kernelIdentity(kernel));
  return await writer.finish({
    madeBy: { version: host.version, engine: host.engine, hypervisor: host.hypervisor },
    machine: {
      architecture: "x64",
      cpus: paused.cpus,
      memoryMiB: paused.content.length / 2 ** 20,
      slots: paused.slots,
    },
    cpu: host.cpu,
    kernel: identity.kernel,
    agent: identity.agent,
    components: [...paused.components, ...besides],
    labels,
    durable,
  });
}

/** What the machine was when it stood still, and what its user wants kept besides; its memory is the writer's by then. */
async function copyMachine(
  machine: VmmMachine,
  { writer, parent }: CaptureContext,
  { onPausing, onResumed }: Pick<CaptureRequest, "onPausing" | "onResumed">,
): Promise<{ readonly paused: PausedMachine; readonly besides: readonly SavedComponent[] }> {
  using rest = await machine.whileKept((running) => preCopy(running, { writer, parent }));
  // Here the machine may end, and let go of its memory: whoever is waited for may learn of the end by that.
  const besides = await onPausing();
  const copyRest = async (paused: PausedMachine): Promise<PausedMachine> => {
    await writer.captureMemory(paused.content, { parent, candidates: rest.pages() });
    return paused;
  };
  return { paused: await machine.whilePaused(copyRest).finally(onResumed), besides };
}

/** The initramfs is the agent and the kernel's modules. */
async function kernelIdentity({ image, initramfs, release }: GuestKernel): Promise<{
  readonly kernel: { readonly release: string; readonly digest: Sha256 };
  readonly agent: { readonly digest: Sha256 };
}> {
  const [kernel, agent] = await Promise.all([digestOf(image), digestOf(initramfs)]);
  return { kernel: { release, digest: kernel }, agent: { digest: agent } };
}

async function digestOf(path: string): Promise<Sha256> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}
