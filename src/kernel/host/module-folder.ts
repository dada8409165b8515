import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { decompress } from "fzstd";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import { moduleName, readModuleInfo } from "../module-info.ts";
import {
  moduleGroups,
  type OrderedModule,
  orderModules,
  orderText,
  parseBuiltinModules,
} from "../module-order.ts";
import { runTool } from "./run-tool.ts";

/**
 * Reads the modules of every group, and what they depend on, from a kernel's `lib/modules/<release>`. Returns the
 * files of the initramfs's `/modules`. Compressed modules (.gz, .xz, .zst) are decompressed here, once, rather than by
 * every guest.
 *
 * @throws SupermachineError KERNEL_NOT_FOUND when one that machines need is missing or damaged.
 */
export async function loadModules(folder: string, signal?: AbortSignal): Promise<Map<string, Uint8Array>> {
  const files = await modulePaths(folder);
  const builtin = parseBuiltinModules(
    await readFile(join(folder, "modules.builtin"), "utf8").catch(() => ""),
  );
  const contents = new Map<string, Uint8Array>();
  const depends = new Map<string, readonly string[]>();
  const pending: string[] = Object.values(moduleGroups).flatMap(({ modules }) => [...modules]);
  try {
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      const path = files.get(name);
      if (path === undefined || builtin.has(name) || contents.has(name)) continue;
      const content = await readModule(path, signal);
      const info = readModuleInfo(content);
      contents.set(name, content);
      depends.set(name, info.depends);
      pending.push(...info.depends);
    }
    const order = orderModules({ builtin, depends: (name) => depends.get(name) });
    return moduleFiles(order, contents);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new SupermachineError("KERNEL_NOT_FOUND", `The kernel modules in ${folder} cannot be used`, {
      cause,
      hint: "Use a kernel with virtio, EROFS and overlay support, for example a distribution's cloud kernel",
    });
  }
}

function moduleFiles(
  order: readonly OrderedModule[],
  contents: ReadonlyMap<string, Uint8Array>,
): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>([["order", new TextEncoder().encode(orderText(order))]]);
  for (const { name } of order) files.set(`${name}.ko`, contents.get(name) ?? new Uint8Array(0));
  return files;
}

async function modulePaths(folder: string): Promise<Map<string, string>> {
  const names = await readdir(folder, { recursive: true }).catch((cause: unknown) => {
    throw new SupermachineError("KERNEL_NOT_FOUND", `Cannot read the kernel modules in ${folder}`, { cause });
  });
  const modules = names.filter((name) => /\.ko(\.(gz|xz|zst))?$/.test(name));
  return new Map(modules.map((name) => [moduleName(name), join(folder, name)]));
}

async function readModule(path: string, signal: AbortSignal | undefined): Promise<Uint8Array> {
  if (path.endsWith(".xz")) {
    const { status, stdout } = await runTool(["xz", "--decompress", "--stdout", path], { signal });
    if (status === 0) return stdout;
    throw new SupermachineError("KERNEL_NOT_FOUND", `Cannot decompress ${path}`, {
      hint: status === undefined ? "Install xz (package xz-utils)" : "Reinstall the kernel package",
    });
  }
  const content = await readFile(path, { signal });
  if (path.endsWith(".gz")) return gunzipSync(content);
  if (path.endsWith(".zst")) return decompress(content);
  return content;
}
