import { createHash } from "node:crypto";
import { readFile, realpath, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import type { Home } from "../../storage/home.ts";
import { isKernelImage, kernelRelease } from "../kernel-image.ts";
import { modulesFolder, type StoredKernel, storeModules } from "./kernel-store.ts";
import { loadModules } from "./module-folder.ts";

/**
 * A kernel image that the user named, used where it lies. Its modules are looked for in `modules/` beside it, in
 * `lib/modules/<release>` of the tree it lies in, and in the system's `/lib/modules/<release>`; without any, everything
 * that machines need must be built in.
 *
 * @throws SupermachineError KERNEL_NOT_FOUND when there is no such file, or its modules are unusable.
 */
export async function customKernel(home: Home, path: string, signal?: AbortSignal): Promise<StoredKernel> {
  const image = await realpath(path).catch((cause: unknown) => {
    throw new SupermachineError("KERNEL_NOT_FOUND", `There is no kernel '${path}'`, {
      cause,
      hint,
    });
  });
  const { size, mtimeMs } = await stat(image);
  const identity = createHash("sha256").update(`${image}\0${size}\0${mtimeMs}`).digest("hex").slice(0, 16);
  const name = `custom-${identity}`;
  const known = await readFile(join(modulesFolder(home, name), "release"), "utf8").catch(() => undefined);
  if (known !== undefined) return { folder: modulesFolder(home, name), image, release: known };

  const bytes = await readFile(image, { signal }).catch((cause: unknown) => {
    throw new SupermachineError("KERNEL_NOT_FOUND", `The kernel '${path}' cannot be read`, { cause, hint });
  });
  if (!isKernelImage(bytes))
    throw new SupermachineError("KERNEL_NOT_FOUND", `The file '${path}' is no kernel image`, { hint });
  const release = kernelRelease(bytes) ?? "unknown";
  const found = await firstFolder([
    join(dirname(image), "modules"),
    join(dirname(image), "..", "lib", "modules", release),
    join("/lib/modules", release),
  ]);
  const modules = found === undefined ? builtInOnly : await loadModules(found, signal);
  return { folder: await storeModules(home, name, { release, modules }), image, release };
}

const hint = "--kernel and SUPERMACHINE_KERNEL name a kernel image file: vmlinux, bzImage or Image";
const builtInOnly: ReadonlyMap<string, Uint8Array> = new Map([["order", new Uint8Array(0)]]);

async function firstFolder(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) if ((await stat(path).catch(() => undefined))?.isDirectory()) return path;
  return undefined;
}
