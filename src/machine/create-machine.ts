import { availableParallelism } from "node:os";
import type { GuestKernel } from "../engine/engine.ts";
import { selectEngine } from "../engine/select.ts";
import { SupermachineError } from "../errors/supermachine-error.ts";
import type { LocalImage } from "../image/image.ts";
import { Home } from "../storage/home.ts";
import { aborted } from "./boot-limit.ts";
import type { CreationParts, StepOptions } from "./creation-parts.ts";
import { guestDefaults } from "./guest-command.ts";
import type { MachineLink } from "./machine-link.ts";
import { MachineRegistry } from "./machine-registry.ts";
import { resolveMachine } from "./machine-spec.ts";
import { startMachine } from "./start-machine.ts";
import type { MachineConfig, MachineOptions, PhaseTiming } from "./types.ts";

/** `Machine.create`: from an image's name to a machine that takes commands. */
export async function createMachine(
  image: string,
  options: MachineOptions,
  parts: CreationParts,
): Promise<MachineLink> {
  const config = resolveMachine(image, options, { cpus: availableParallelism() });
  const { signal } = options;
  if (signal?.aborted === true) throw aborted(signal.reason);
  const home = new Home(options.home);
  const registry = new MachineRegistry(home);
  if (config.name !== undefined) await registry.checkName(config.name);
  const choice = await selectEngine(config.engine, parts.engines, { home });
  // Side by side with the image; a detached monitor does it in its own process.
  if (!config.detached) choice.engine.prepare?.(config.cpus);
  if (!choice.support.isolating) warn(emulationWarning, options.onWarning);
  if (config.network === "user" && !choice.support.network) warn(networkWarning, options.onWarning);
  const prepared = await prepare(config, { home, options, parts });
  return await startMachine(
    {
      config,
      choice,
      image: prepared.image.reference,
      imageDigest: prepared.image.manifestDigest,
      defaults: guestDefaults(prepared.image.config, config),
      volumes: prepared.image.config.volumes,
      architecture: prepared.architecture,
      rootfs: prepared.rootfs,
      kernel: prepared.kernel,
      timings: prepared.timings,
      origin: config.snapshot === false ? { kind: "boot" } : { kind: "template" },
    },
    { home, options, parts },
  );
}

interface Prepared {
  readonly image: LocalImage;
  readonly architecture: "x64" | "arm64";
  readonly rootfs: string;
  readonly kernel: GuestKernel;
  readonly timings: readonly PhaseTiming[];
}

/** Image with root file system, and kernel, side by side; the failure of one ends the other. */
async function prepare(
  config: MachineConfig,
  context: { home: Home; options: MachineOptions; parts: CreationParts },
): Promise<Prepared> {
  const { home, options, parts } = context;
  const cancel = new AbortController();
  const onAbort = () => cancel.abort(options.signal?.reason);
  options.signal?.addEventListener("abort", onAbort, { once: true });
  const { onProgress } = options;
  const step: StepOptions = {
    home,
    signal: cancel.signal,
    ...(onProgress === undefined ? {} : { onProgress }),
  };
  const timings: PhaseTiming[] = [];
  const architecture = wantedArchitecture(config.platform);
  const imageAndRootfs = async () => {
    const { platform, pull: policy } = config;
    const image = await timed(timings, "image", parts.pullImage(config.image, { ...step, platform, policy }));
    const rootfs = await timed(timings, "rootfs", parts.prepareRootfs(image, step));
    return { image, rootfs };
  };
  const kernel = () =>
    timed(timings, "kernel", parts.provideKernel({ ...step, path: config.kernel, architecture }));
  try {
    const [local, guestKernel] = await settleBoth(imageAndRootfs(), kernel(), () => cancel.abort());
    return { ...local, architecture, kernel: guestKernel, timings };
  } catch (error) {
    if (options.signal?.aborted === true) throw aborted(options.signal.reason);
    throw error;
  } finally {
    options.signal?.removeEventListener("abort", onAbort);
  }
}

/** Both values, or the first failure once both have ended: nothing goes on behind a rejected promise. */
async function settleBoth<A, B>(a: Promise<A>, b: Promise<B>, onFailure: () => void): Promise<[A, B]> {
  let first: { error: unknown } | undefined;
  const failed = (error: unknown) => {
    if (first === undefined) onFailure();
    first ??= { error };
  };
  a.catch(failed);
  b.catch(failed);
  const [resultA, resultB] = await Promise.allSettled([a, b]);
  if (resultA.status === "fulfilled" && resultB.status === "fulfilled") return [resultA.value, resultB.value];
  throw first?.error;
}

async function timed<Value>(
  timings: PhaseTiming[],
  phase: PhaseTiming["phase"],
  work: Promise<Value>,
): Promise<Value> {
  const start = performance.now();
  const value = await work;
  timings.push({ phase, ms: performance.now() - start });
  return value;
}

/** @throws SupermachineError `UNSUPPORTED`. */
export function wantedArchitecture(platform: string | undefined): "x64" | "arm64" {
  const words = platform?.split("/");
  const name = words?.[1] ?? words?.[0] ?? process.arch;
  if (name === "amd64" || name === "x86_64" || name === "x64") return "x64";
  if (name === "arm64" || name === "aarch64") return "arm64";
  throw new SupermachineError("UNSUPPORTED", `Machines of the platform '${platform ?? name}' cannot be run`, {
    hint: "Use linux/amd64 or linux/arm64",
  });
}

/** What the user of an engine without a hypervisor has to know. */
const emulationWarning =
  "This machine runs in software emulation: it is slow, and no security boundary. Do not run code in it that you do not trust.";
const networkWarning =
  "The engine 'vmm' has no outbound network yet: choose --engine qemu where one is needed, or --network none.";
const warned = new Set<string>();

function warn(message: string, onWarning: MachineOptions["onWarning"]): void {
  if (onWarning !== undefined) onWarning(message);
  else if (!warned.has(message)) process.emitWarning(message, { type: "SupermachineWarning" });
  warned.add(message);
}
