import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import type { OpenedSnapshot } from "../../snapshot/host/open-snapshot.ts";
import type { SnapshotWriter } from "../../snapshot/host/snapshot-writer.ts";
import type { Sha256, SnapshotId } from "../../snapshot/manifest.ts";
import type { CaptureRequest, GuestKernel } from "../engine.ts";
import type { PausedMachine, VmmMachine } from "./machine.ts";
import { privatePages } from "./private-pages.ts";
import type { ThisHost } from "./this-host.ts";

export interface CaptureContext {
  readonly writer: SnapshotWriter;
  readonly host: ThisHost;
  readonly kernel: GuestKernel;
  /** What the machine was restored from. */
  readonly parent?: OpenedSnapshot | undefined;
}

/**
 * Makes a snapshot of a running machine. It stands still only while its memory is copied: what was written since its own
 * snapshot, or else everything that is not zero.
 */
export async function captureMachine(
  machine: VmmMachine,
  { writer, host, kernel, parent }: CaptureContext,
  { components, labels, onResumed, durable }: CaptureRequest,
): Promise<SnapshotId> {
  const copy = async (paused: PausedMachine): Promise<PausedMachine> => {
    const candidates = parent === undefined ? undefined : privatePages(paused.ram);
    await writer.captureMemory(paused.content, { parent, candidates });
    return paused;
  };
  const paused = await machine.whilePaused(copy).finally(onResumed);
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
    components: [...paused.components, ...components],
    labels,
    durable,
  });
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
