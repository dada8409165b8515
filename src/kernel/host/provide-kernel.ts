import { createHash } from "node:crypto";
import { accessSync, constants, readFileSync } from "node:fs";
import { readdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ProgressListener } from "../../progress/progress.ts";
import { fileIdentity } from "../../storage/file-identity.ts";
import type { Home } from "../../storage/home.ts";
import { createTemporary } from "../../storage/temporary.ts";
import type { GuestArchitecture, GuestKernel } from "../guest-kernel.ts";
// What only the first call needs is imported when it is used: every run of a machine loads this module.
import { currentKernel, readModules, type StoredKernel, storeKernel } from "./kernel-store.ts";
import { provideAgent } from "./provide-agent.ts";

export interface ProvideKernelOptions {
  readonly home: Home;
  readonly architecture: GuestArchitecture;
  /** Path of a kernel image to use instead of the stock one; default: `SUPERMACHINE_KERNEL`. */
  readonly override?: string | undefined;
  readonly onProgress?: ProgressListener | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Provides what a machine boots: a kernel, and an initramfs with its modules and the agent. The first time, the
 * distribution's stock cloud kernel is taken from the host when it is installed there, or fetched with
 * the system's package client as an ordinary user; later calls only look that everything is there.
 *
 * @throws SupermachineError KERNEL_NOT_FOUND, AGENT_NOT_BUILT, ABORTED.
 *
 * @example
 * ```ts
 * const kernel = await provideKernel({ home: new Home(), architecture: "x64" });
 * console.log(kernel.release);
 * ```
 */
export async function provideKernel(options: ProvideKernelOptions): Promise<GuestKernel> {
  const override = options.override ?? process.env["SUPERMACHINE_KERNEL"];
  const agent = await provideAgent(options);
  const kernel = override ? await customKernel(override, options) : await stockKernel(options);
  return {
    image: kernel.image,
    initramfs: await provideInitramfs(options.home, kernel, agent),
    release: kernel.release,
  };
}

async function customKernel(path: string, { home, signal }: ProvideKernelOptions): Promise<StoredKernel> {
  const { customKernel } = await import("./custom-kernel.ts");
  return await customKernel(home, path, signal);
}

async function stockKernel(options: ProvideKernelOptions): Promise<StoredKernel> {
  const { home, architecture, signal } = options;
  const stored = currentKernel(home, architecture);
  if (stored !== undefined) return stored;
  const installed = await installedRelease(architecture);
  if (installed !== undefined)
    return await storeKernel(home, { root: "/", release: installed, version: "host", architecture, signal });

  const { fetchDebianKernel, findDebianKernel } = await import("./debian-kernel.ts");
  const found = await findDebianKernel(architecture, signal);
  options.onProgress?.({ phase: "kernel", id: found.release, state: "active" });
  using temporary = createTemporary(home, "kernel-package");
  const root = await fetchDebianKernel(found, { architecture, folder: temporary.path, signal });
  const kernel = await storeKernel(home, { ...found, root, architecture, signal });
  options.onProgress?.({ phase: "kernel", id: found.release, state: "done" });
  return kernel;
}

/** The newest cloud kernel that is installed and readable here. */
async function installedRelease(architecture: GuestArchitecture): Promise<string | undefined> {
  const suffix = architecture === "x64" ? "-cloud-amd64" : "-cloud-arm64";
  const names = (await readdir("/boot").catch(() => [])).filter(
    (name) => name.startsWith("vmlinuz-") && name.endsWith(suffix),
  );
  const byVersion = new Intl.Collator("en", { numeric: true });
  for (const name of names.sort(byVersion.compare).reverse()) {
    const release = name.slice("vmlinuz-".length);
    if (readable(join("/boot", name)) && readable(join("/lib/modules", release, "kernel"))) return release;
  }
  return undefined;
}

/** One archive per agent binary, beside the kernel's modules. Part of every start, so the binary is not read for it. */
async function provideInitramfs(home: Home, kernel: StoredKernel, agentPath: string): Promise<string> {
  const identity = fileIdentity(agentPath).join(" ");
  const key = createHash("sha256").update(identity).digest("hex").slice(0, 16);
  const path = join(kernel.folder, `initramfs-${key}.cpio`);
  if (readable(path)) return path;
  const { composeInitramfs } = await import("../initramfs.ts");
  const agent = readFileSync(agentPath);
  using temporary = createTemporary(home, "initramfs");
  await writeFile(temporary.path, composeInitramfs({ agent, modules: await readModules(kernel.folder) }));
  await rename(temporary.path, path);
  return path;
}

function readable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}
