import { SupermachineError } from "../errors/supermachine-error.ts";
import type { ImageConfig } from "../image/image.ts";
import type { MachineConfig } from "./types.ts";

/** What every command of a machine starts from: the image's configuration with the machine's options over it. */
export interface GuestDefaults {
  /** "NAME=value". */
  readonly env: readonly string[];
  readonly workingDir: string;
  readonly user: string;
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly stopSignal: string;
}

/** Docker's default, for images that name none; without a PATH the guest could find no command. */
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Lays a machine's options over its image's configuration. */
export function guestDefaults(image: ImageConfig, config: MachineConfig): GuestDefaults {
  const hasPath = image.env.some((entry) => entry.startsWith("PATH="));
  return {
    env: mergeEnv(hasPath ? image.env : [defaultPath, ...image.env], config.env),
    workingDir: config.workdir ?? (image.workingDir === "" ? "/" : image.workingDir),
    user: config.user ?? image.user,
    entrypoint: config.entrypoint ?? image.entrypoint,
    cmd: config.entrypoint === undefined ? image.cmd : [],
    stopSignal: image.stopSignal === "" ? "SIGTERM" : image.stopSignal,
  };
}

/** A later value replaces an earlier one in its place, as in docker. */
export function mergeEnv(base: readonly string[], added: Readonly<Record<string, string>>): string[] {
  const merged = new Map<string, string>();
  for (const entry of base) {
    const equals = entry.indexOf("=");
    if (equals > 0) merged.set(entry.slice(0, equals), entry);
  }
  for (const [name, value] of Object.entries(added)) merged.set(name, `${name}=${value}`);
  return [...merged.values()];
}

/**
 * Docker's rule for what a container runs: arguments replace Cmd and are appended to Entrypoint; a new Entrypoint
 * drops Cmd. Throws INVALID_ARGUMENT when nothing comes of it.
 */
export function commandLine(
  defaults: Pick<GuestDefaults, "entrypoint" | "cmd">,
  override: { argv?: readonly string[] | undefined; entrypoint?: readonly string[] | undefined },
): string[] {
  const { argv = [], entrypoint } = override;
  const command =
    entrypoint === undefined
      ? [...defaults.entrypoint, ...(argv.length > 0 ? argv : defaults.cmd)]
      : [...entrypoint, ...argv];
  if (command.length > 0) return command;
  throw new SupermachineError("INVALID_ARGUMENT", "The image names no command to run", {
    hint: "Pass a command",
  });
}
