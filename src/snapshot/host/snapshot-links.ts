import { mkdir, readdir, readlink, rename, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import type { Home } from "../../storage/home.ts";
import { createTemporary } from "../../storage/temporary.ts";
import type { SnapshotId } from "../manifest.ts";

/** A folder of symbolic links from words to snapshot ids, each replaced as a whole. */
export class SnapshotLinks {
  readonly #home: Home;
  readonly #folder: string;

  constructor(home: Home, folder: string) {
    this.#home = home;
    this.#folder = folder;
  }

  async get(word: string): Promise<SnapshotId | undefined> {
    const target = await readlink(join(this.#folder, word)).catch(() => undefined);
    return target !== undefined && /^[0-9a-f]{64}$/.test(target) ? target : undefined;
  }

  async set(word: string, id: SnapshotId): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    using temporary = createTemporary(this.#home, "snapshot-link");
    await symlink(id, temporary.path);
    await rename(temporary.path, join(this.#folder, word));
  }

  async remove(word: string): Promise<void> {
    await rm(join(this.#folder, word), { force: true });
  }

  /** Every word with its id, in order of the words. */
  async entries(): Promise<[word: string, id: SnapshotId][]> {
    const entries: [string, SnapshotId][] = [];
    for (const word of (await readdir(this.#folder).catch(() => [])).sort()) {
      const id = await this.get(word);
      if (id !== undefined) entries.push([word, id]);
    }
    return entries;
  }
}
