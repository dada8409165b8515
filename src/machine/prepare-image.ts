import { availableParallelism } from "node:os";
import type { Engine, GuestKernel } from "../engine/engine.ts";
import { selectEngine } from "../engine/select.ts";
import { SupermachineError } from "../errors/supermachine-error.ts";
import type { LocalImage } from "../image/image.ts";
import { SnapshotStore } from "../snapshot/host/snapshot-store.ts";
import { kindOf } from "../snapshot/labels.ts";
import { fileIdentity } from "../storage/file-identity.ts";
import { Home } from "../storage/home.ts";
import { productVersion } from "../storage/product-version.ts";
import { aborted } from "./boot-limit.ts";
import { createMachine, wantedArchitecture } from "./create-machine.ts";
import type { CreationParts, StepOptions } from "./creation-parts.ts";
import type { PrepareOptions } from "./image.ts";
import { Machine } from "./machine.ts";
import type { MachineLink } from "./machine-link.ts";
import { resolveMachine } from "./machine-spec.ts";
import { inspectIn } from "./snapshot.ts";
import type { MachineConfig, MachineOptions, SnapshotInfo } from "./types.ts";

/** `Image.prepare`: a snapshot of a machine in which the warm-up has been, made when there is none for these inputs. */
export async function prepareImage(
  source: string,
  options: PrepareOptions,
  parts: CreationParts,
): Promise<SnapshotInfo> {
  const { warmup, key = String(warmup), name, ...machineOptions } = options;
  const config = resolveMachine(source, machineOptions, { cpus: availableParallelism() });
  const { onProgress } = options;
  const signal = options.signal ?? new AbortController().signal;
  if (signal.aborted) throw aborted(signal.reason);
  const store = new SnapshotStore(new Home(options.home));
  const { home } = store;
  const wanted = config.engine === "auto" ? "vmm" : config.engine;
  const { engine } = await selectEngine(wanted, parts.engines, { home });
  if (engine.unfit === undefined) throw cannotSnapshot(engine);
  if (name !== undefined) await checkName(store, name);
  const step: StepOptions = { home, signal, ...(onProgress === undefined ? {} : { onProgress }) };
  const { platform, pull: policy } = config;
  const architecture = wantedArchitecture(platform);
  const image = await parts.pullImage(source, { ...step, platform, policy });
  const kernel = await parts.provideKernel({ ...step, path: config.kernel, architecture });
  // What has been found above is what the machine is made of, whatever a name means by then.
  const found = { ...parts, pullImage: async () => image, provideKernel: async () => kernel };
  const { cpus, memoryMiB } = config;
  const lease = await store.keyed(keyOf(config, { key, image, kernel }), {
    make: () => warm(source, { ...machineOptions, engine: engine.name }, { warmup, parts: found }),
    reject: (manifest) => engine.unfit?.(manifest, { architecture, cpus, memoryMiB }),
    signal,
  });
  await using _ = lease;
  const { id } = lease.snapshot;
  if (name !== undefined) await store.name(id, name, { replace: true });
  return await inspectIn(store, id);
}

/** Everything that the guest's state depends on. */
function keyOf(
  config: MachineConfig,
  { key, image, kernel }: { key: string; image: LocalImage; kernel: GuestKernel },
): string {
  const { cpus, memoryMiB, env, workdir, user, network, entrypoint, command, tty } = config;
  return JSON.stringify({
    kind: "warm",
    version: productVersion(),
    image: image.manifestDigest,
    kernel: fileIdentity(kernel.image),
    // The agent is in it.
    initramfs: fileIdentity(kernel.initramfs),
    // As an array, so that two orders of the same variables are one.
    machine: { cpus, memoryMiB, env: Object.entries(env).sort(), workdir, user, network },
    command: { entrypoint, command, tty },
    key,
  });
}

/** Makes the snapshot; nothing else is left, and after a failure nothing at all. */
async function warm(
  source: string,
  options: MachineOptions,
  { warmup, parts }: { warmup: PrepareOptions["warmup"]; parts: CreationParts },
): Promise<string> {
  const { onProgress, signal } = options;
  const report = (state: "active" | "done") => onProgress?.({ phase: "warm-up", id: "", state });
  const link = await createMachine(source, options, parts);
  const onAbort = () => void link.kill();
  try {
    signal?.addEventListener("abort", onAbort, { once: true });
    if (signal?.aborted === true) throw aborted(signal.reason);
    report("active");
    await warmup(new Machine(link));
    const id = await link.snapshot({ kind: "warm", labels: {} });
    report("done");
    return id;
  } catch (error) {
    if (signal?.aborted === true) throw aborted(signal.reason);
    throw error;
  } finally {
    signal?.removeEventListener("abort", onAbort);
    await discard(link);
  }
}

async function discard(link: MachineLink): Promise<void> {
  await link.kill();
  await link.remove();
  link.close();
}

/** A name moves on from one prepared state to the next; one that was given by hand stays where it is. */
async function checkName(store: SnapshotStore, name: string): Promise<void> {
  const holder = (await store.list()).find(({ names }) => names.includes(name));
  if (holder === undefined || kindOf(holder.manifest) !== "warm") await store.checkName(name);
}

function cannotSnapshot({ name }: Engine): SupermachineError {
  return new SupermachineError("UNSUPPORTED", `The engine '${name}' cannot keep the state of a machine`, {
    hint: "Use the engine 'vmm', or start a machine and warm it up each time",
  });
}
