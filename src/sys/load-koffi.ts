import { closeSync, existsSync, openSync, readFileSync, readSync, realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

export type Koffi = typeof import("koffi");

/** Of Node, as its file's first page names it. */
const glibcLoader = /\/ld-linux-(?:x86-64|aarch64)\.so/;
const pageBytes = 4096;

/**
 * Loads koffi by the shortest way. To resolve its name and to go through its own loader takes longer than to load the
 * library itself, in every process and every thread; so its binary is loaded by its path, where we know which one fits.
 * Anything unexpected is left to that loader.
 *
 * @param from Path or `file:` URL of the module that koffi is found from.
 */
export function loadKoffi(from: string | URL = import.meta.url): Koffi {
  const load = createRequire(from);
  return koffiBinary(load) ?? (load("koffi") as Koffi);
}

function koffiBinary(load: NodeJS.Require): Koffi | undefined {
  const { platform, arch } = process;
  if (platform !== "linux") return undefined;
  try {
    const folders = load.resolve.paths("koffi") ?? [];
    const found = folders.map((folder) => join(folder, "koffi")).find((folder) => existsSync(folder));
    if (found === undefined || !usesGlibc()) return undefined;
    const koffi = realpathSync(found);
    // Package managers put what it depends on beneath it, or beside it.
    const path = [join(koffi, "node_modules"), dirname(koffi)]
      .map((folder) => join(folder, `@koromix/koffi-linux-${arch}/linux_${arch}/koffi.node`))
      .find((file) => existsSync(file));
    if (path === undefined) return undefined;
    const binary = load(path) as Koffi;
    const { version } = JSON.parse(readFileSync(join(koffi, "package.json"), "utf8")) as Koffi;
    return binary.version === version ? binary : undefined;
  } catch {
    return undefined;
  }
}

function usesGlibc(): boolean {
  const file = openSync(process.execPath, "r");
  try {
    const page = Buffer.alloc(pageBytes);
    return glibcLoader.test(page.toString("latin1", 0, readSync(file, page)));
  } finally {
    closeSync(file);
  }
}
