import { type FileHandle, open } from "node:fs/promises";
import { type MemoryRun, runsWithin } from "../memory-runs.ts";
import { readFully } from "./hash-memory.ts";

/** Reads a memory from the files that it lies in. */
export class RunReader implements AsyncDisposable {
  readonly #runs: readonly MemoryRun[];
  readonly #files = new Map<string, FileHandle>();

  constructor(runs: readonly MemoryRun[]) {
    this.#runs = runs;
  }

  /** Fills `into`. */
  async read(offset: number, into: Uint8Array): Promise<void> {
    for (const run of runsWithin(this.#runs, { offset, length: into.length })) {
      const start = run.offset - offset;
      await readFully(await this.#open(run.file), run.offset, into.subarray(start, start + run.length));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const file of this.#files.values()) await file.close();
    this.#files.clear();
  }

  async #open(path: string): Promise<FileHandle> {
    const known = this.#files.get(path);
    if (known !== undefined) return known;
    const file = await open(path, "r");
    this.#files.set(path, file);
    return file;
  }
}
