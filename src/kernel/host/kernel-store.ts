import { readFileSync, readlinkSync } from "node:fs";
import { mkdir, readdir, readFile, rename, stat, symlink, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Home } from "../../storage/home.ts";
import { createTemporary } from "../../storage/temporary.ts";
import type { GuestArchitecture } from "../guest-kernel.ts";
// The readers of kernels and modules are imported when one is stored: looking one up does without.

/**
 * The kernels in a home. Each has a folder with what a machine needs of it: `modules/`, `release`, and `kernel` unless
 * the image stays where it was found. The link `<architecture>-<layout>` names the one in use.
 */
export interface StoredKernel {
  readonly folder: string;
  readonly image: string;
  /** As `uname -r` prints it. */
  readonly release: string;
}

/** Counts up when the groups of modules change, so that kernels stored by an older version are not used. */
const layout = 1;

/** The stock kernel in use, or undefined when none was stored yet. */
export function currentKernel(home: Home, architecture: GuestArchitecture): StoredKernel | undefined {
  try {
    const folder = join(home.kernels, basename(readlinkSync(linkPath(home, architecture))));
    const release = readFileSync(join(folder, "release"), "utf8");
    return { folder, image: join(folder, "kernel"), release };
  } catch {
    return undefined;
  }
}

/**
 * Takes kernel and modules from a root file system (`boot/vmlinuz-*`, `lib/modules/*`) into the home and makes them the
 * stock kernel in use. Several processes may do so at once: a folder appears complete or not at all.
 */
export async function storeKernel(
  home: Home,
  from: {
    root: string;
    release: string;
    version: string;
    architecture: GuestArchitecture;
    signal?: AbortSignal | undefined;
  },
): Promise<StoredKernel> {
  const { root, release, version, signal } = from;
  const { extractVmlinux } = await import("../kernel-image.ts");
  const { loadModules } = await import("./module-folder.ts");
  const packed = await readFile(join(root, "boot", `vmlinuz-${release}`), { signal });
  const name = `${release}_${version}`.replace(/[^A-Za-z0-9._+~-]/g, "_");
  const folder = await storeFolder(home, name, {
    kernel: extractVmlinux(packed) ?? packed,
    release,
    modules: await loadModules(join(root, "lib", "modules", release), signal),
  });
  using link = createTemporary(home, "kernel-link");
  await symlink(basename(folder), link.path);
  await rename(link.path, linkPath(home, from.architecture));
  return { folder, image: join(folder, "kernel"), release };
}

/** Stores the modules of a kernel whose image stays where it is; `name` must change whenever they do. */
export async function storeModules(
  home: Home,
  name: string,
  content: { release: string; modules: ReadonlyMap<string, Uint8Array> },
): Promise<string> {
  return await storeFolder(home, name, content);
}

/** The files of a stored kernel's `modules/`. */
export async function readModules(folder: string): Promise<Map<string, Uint8Array>> {
  const names = await readdir(join(folder, "modules"));
  return new Map(
    await Promise.all(
      names.map(async (name) => [name, await readFile(join(folder, "modules", name))] as const),
    ),
  );
}

/** The folder that `storeModules` makes of this name, whether it is there or not. */
export function modulesFolder(home: Home, name: string): string {
  return join(home.kernels, `${name}_${layout}`);
}

function linkPath(home: Home, architecture: GuestArchitecture): string {
  return join(home.kernels, `${architecture}-${layout}`);
}

async function storeFolder(
  home: Home,
  name: string,
  content: { kernel?: Uint8Array; release: string; modules: ReadonlyMap<string, Uint8Array> },
): Promise<string> {
  using temporary = createTemporary(home, "kernel");
  await mkdir(join(temporary.path, "modules"), { recursive: true });
  if (content.kernel !== undefined) await writeFile(join(temporary.path, "kernel"), content.kernel);
  for (const [file, bytes] of content.modules) await writeFile(join(temporary.path, "modules", file), bytes);
  await writeFile(join(temporary.path, "release"), content.release);
  const folder = modulesFolder(home, name);
  await mkdir(home.kernels, { recursive: true, mode: 0o700 });
  try {
    await rename(temporary.path, folder);
  } catch (error) {
    // Another process was faster; what it stored is the same.
    if ((await stat(folder).catch(() => undefined)) === undefined) throw error;
  }
  return folder;
}
