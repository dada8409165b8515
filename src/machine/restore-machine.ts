import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { selectEngine } from "../engine/select.ts";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { SnapshotStore } from "../snapshot/host/snapshot-store.ts";
import type { SnapshotManifest } from "../snapshot/manifest.ts";
import { loadComponent, type SavedComponent } from "../snapshot/state-codec.ts";
import { Home } from "../storage/home.ts";
import { aborted } from "./boot-limit.ts";
import type { CreationParts } from "./creation-parts.ts";
import { type GuestDefaults, mergeEnv } from "./guest-command.ts";
import type { MachineLink } from "./machine-link.ts";
import { MachineRegistry } from "./machine-registry.ts";
import { resolveMachine } from "./machine-spec.ts";
import { type SavedMachine, savedMachineCodec } from "./saved-machine.ts";
import { startMachine } from "./start-machine.ts";
import type { MachineConfig, RestoreOptions } from "./types.ts";

/** `Machine.create` from a snapshot: a machine that goes on where another one stood. */
export async function restoreMachine(options: RestoreOptions, parts: CreationParts): Promise<MachineLink> {
  const { snapshot: wanted, ...given } = options;
  const home = new Home(options.home);
  const store = new SnapshotStore(home);
  const id = await store.find(wanted);
  const startedAt = performance.now();
  await using lease = await store.use(id);
  const { manifest } = lease.snapshot;
  const saved = savedMachineOf(lease.snapshot.components, wanted);
  const { cpus, memoryMiB } = manifest.machine;
  const config = {
    ...resolveMachine(saved.image, given, { cpus: availableParallelism() }),
    cpus,
    memoryMiB,
  };
  if (saved.main !== undefined && config.command !== undefined && config.command.length > 0)
    throw mainGoesOn(wanted);
  if (options.signal?.aborted === true) throw aborted(options.signal.reason);
  if (config.name !== undefined) await new MachineRegistry(home).checkName(config.name);
  const choice = await selectEngine(config.engine === "auto" ? "vmm" : config.engine, parts.engines, {
    home,
  });
  // Side by side with the files; a detached monitor does it in its own process.
  if (!config.detached) choice.engine.prepare?.(cpus);
  return await startMachine(
    {
      config,
      choice,
      image: saved.image,
      imageDigest: saved.imageDigest,
      defaults: restoredDefaults(saved.defaults, config),
      // They were made when the machine was.
      volumes: [],
      architecture: manifest.machine.architecture,
      rootfs: await savedRootfs(saved, { home, parts, config, signal: options.signal }),
      kernel: savedKernel(manifest),
      timings: [{ phase: "snapshot", ms: performance.now() - startedAt }],
      origin: { kind: "snapshot", id },
      ...(saved.main === undefined ? {} : { main: saved.main }),
    },
    { home, options, parts },
  );
}

/** @throws SupermachineError `SNAPSHOT_MISMATCH` for a template, `SNAPSHOT_INVALID`. */
export function savedMachineOf(components: readonly SavedComponent[], name: string): SavedMachine {
  const component = components.find(({ id }) => id === savedMachineCodec.id);
  if (component !== undefined) return loadComponent(savedMachineCodec, component);
  throw new SupermachineError("SNAPSHOT_MISMATCH", `Snapshot '${name}' is a template, which has no image`, {
    hint: "Templates are used by themselves; create a machine from an image",
  });
}

function mainGoesOn(name: string): SupermachineError {
  return new SupermachineError(
    "INVALID_ARGUMENT",
    `The main command of snapshot '${name}' goes on; there cannot be another`,
    { hint: "Leave the command out; others can be run in the machine once it is there" },
  );
}

/** What the options say goes for commands from now on; processes that run already have what they had. */
function restoredDefaults(saved: GuestDefaults, { env, workdir, user }: MachineConfig): GuestDefaults {
  return {
    ...saved,
    env: mergeEnv(saved.env, env),
    workingDir: workdir ?? saved.workingDir,
    user: user ?? saved.user,
  };
}

/** Nothing is booted any more, so its files are not needed. */
function savedKernel({ kernel }: SnapshotManifest): { image: string; initramfs: string; release: string } {
  return { image: "", initramfs: "", release: kernel.release };
}

/** The very image that the guest has mounted; made again from its layers when it was cleared away. */
async function savedRootfs(
  saved: SavedMachine,
  context: {
    readonly home: Home;
    readonly parts: CreationParts;
    readonly config: MachineConfig;
    readonly signal: AbortSignal | undefined;
  },
): Promise<string> {
  const { home, parts, config } = context;
  const path = join(home.rootfs, saved.rootfs);
  if (existsSync(path)) return path;
  const step = { home, signal: context.signal ?? new AbortController().signal };
  const { platform, pull: policy } = config;
  const reference = `${saved.image.split("@")[0]}@${saved.imageDigest}`;
  try {
    const image = await parts.pullImage(reference, { ...step, platform, policy });
    if ((await parts.prepareRootfs(image, step)) === path) return path;
  } catch (cause) {
    throw rootfsGone(saved, cause);
  }
  throw rootfsGone(saved);
}

function rootfsGone({ image }: SavedMachine, cause?: unknown): SupermachineError {
  return new SupermachineError("SNAPSHOT_MISMATCH", `The root file system of '${image}' is gone`, {
    hint: `Pull '${image}' again in the version that the snapshot was made with`,
    cause,
  });
}
