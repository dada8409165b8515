import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

export type Koffi = typeof import("koffi");

/** Of Node, as its file's first page names it. */
const glibcLoader = /\/ld-linux-(?:x86-64|aarch64)\.so/;
const pageBytes = 4096;

/**
 * Loads koffi by the shortest way. Its own loader looks at several places and adds what older programs call, which takes
 * longer than the library itself, in every process and every thread; so its binary is loaded directly, where we know which
 * one fits. Anything unexpected is left to that loader.
 *
 * @param from Path or `file:` URL of the module that koffi is found from.
 */
export function loadKoffi(from: string | URL = import.meta.url): Koffi {
  const load = createRequire(from);
  return koffiBinary(load.resolve("koffi")) ?? (load("koffi") as Koffi);
}

/** Found from koffi's own place, because that is where its dependencies are installed. */
function koffiBinary(entry: string): Koffi | undefined {
  const { platform, arch } = process;
  if (platform !== "linux") return undefined;
  try {
    if (!usesGlibc()) return undefined;
    const binary = createRequire(entry)(`@koromix/koffi-linux-${arch}/linux_${arch}/koffi.node`) as Koffi;
    const { version } = JSON.parse(readFileSync(join(dirname(entry), "package.json"), "utf8")) as Koffi;
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
