import { mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import * as nodeModule from "node:module";
import { basename, dirname, join } from "node:path";
import { Script } from "node:vm";
import { Home } from "./home.ts";

/**
 * Keeps what V8 compiles of this program in the home, for the processes after this one. Node does that itself from
 * 22.1 on; before, for the files of the bundle only, we do.
 *
 * Only where a home is there already, and is our own: who can write to it decides what we run.
 */
export function useCompileCache(): void {
  const home = new Home();
  if (statSync(home.root, { throwIfNoEntry: false })?.uid !== process.geteuid?.()) return;
  const { enableCompileCache } = nodeModule as { enableCompileCache?: (folder: string) => void };
  if (enableCompileCache !== undefined) enableCompileCache(home.compiled);
  else keepCompiled(join(home.compiled, process.version));
}

/** What Node calls to run the text of a CommonJS module. */
interface Compiler {
  _compile(this: NodeJS.Module, text: string, path: string): unknown;
}

function keepCompiled(folder: string): void {
  const { Module } = nodeModule;
  const prototype = Module.prototype as unknown as Compiler;
  const original = prototype._compile;
  const fresh = new Map<string, Script>();
  prototype._compile = function (text, path) {
    if (dirname(path) !== import.meta.dirname) return original.call(this, text, path);
    // The name says the content: the bundler put its hash there.
    const kept = join(folder, basename(path));
    const cachedData = readIfThere(kept);
    const script = new Script(Module.wrap(text), { filename: path, ...(cachedData && { cachedData }) });
    if (script.cachedDataRejected !== false) fresh.set(kept, script);
    const run = script.runInThisContext() as (...values: unknown[]) => unknown;
    // All that the bundler's files do with it is to call it; Node's own function takes long to make.
    const load = (name: string): unknown => this.require(name);
    return run.call(this.exports, this.exports, load, this, path, dirname(path));
  };
  // At the end, because what was called by then is compiled as well.
  process.on("exit", () => {
    try {
      if (fresh.size > 0) mkdirSync(folder, { recursive: true, mode: 0o700 });
      for (const [path, script] of fresh) {
        const unfinished = `${path}.${process.pid}`;
        writeFileSync(unfinished, script.createCachedData(), { mode: 0o600 });
        renameSync(unfinished, path);
      }
    } catch {
      // A full or read-only disk: the next command compiles again.
    }
  });
}

function readIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}
