import { readdir, rename, rm, stat } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import { errnoOf, systemFailure } from "../../errors/system-failure.ts";
import { acquireFileLock } from "../../storage/file-lock.ts";
import type { Home } from "../../storage/home.ts";
import { createTemporary, sweepTemporary } from "../../storage/temporary.ts";
import { maxManifestLength, parseManifest, type SnapshotId, type SnapshotManifest } from "../manifest.ts";
import { leasedSnapshots, leaseSnapshot } from "./lease.ts";
import type { OpenedSnapshot } from "./open-snapshot.ts";
import { OpenedSnapshots } from "./opened-snapshots.ts";
import { manifestName, memoryPath, readWhole, sha256 } from "./snapshot-files.ts";
import { itemsFolder, keysFolder, locksFolder, namesFolder, snapshotFolder } from "./snapshot-folders.ts";
import { SnapshotLinks } from "./snapshot-links.ts";
import type { SnapshotWriter } from "./snapshot-writer.ts";

/** A snapshot in the store, as `list` and `inspect` show it. */
export interface StoredSnapshot {
  readonly id: SnapshotId;
  readonly names: readonly string[];
  /** True for those that were made for a key rather than by hand. */
  readonly keyed: boolean;
  readonly manifest: SnapshotManifest;
  /** Bytes on the disk that the memory takes. */
  readonly diskBytes: number;
  /** A living process uses it. */
  readonly inUse: boolean;
}

/** A snapshot that stays until this is disposed of. */
export interface SnapshotLease extends AsyncDisposable {
  readonly snapshot: OpenedSnapshot;
}

export interface KeyedOptions {
  /** Makes the snapshot and resolves with its id. Not called while another living process makes the same. */
  readonly make: () => Promise<SnapshotId>;
  /** Says why a snapshot found under the key is of no use, which is then made anew; see `checkFits`. */
  readonly reject?: (manifest: SnapshotManifest) => string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Of all homes. */
const opened: OpenedSnapshots = new OpenedSnapshots();

/**
 * The snapshots of a home. Any number of processes may work on it at once.
 *
 * @example
 * ```ts
 * const store = new SnapshotStore(new Home());
 * for (const { id, names } of await store.list()) console.log(id.slice(0, 12), ...names);
 * ```
 */
export class SnapshotStore {
  readonly home: Home;
  readonly #names: SnapshotLinks;
  readonly #keys: SnapshotLinks;

  constructor(home: Home) {
    this.home = home;
    this.#names = new SnapshotLinks(home, namesFolder(home));
    this.#keys = new SnapshotLinks(home, keysFolder(home));
  }

  /** A writer for a new snapshot; dispose of it. What dead writers left is removed first. */
  async create(): Promise<SnapshotWriter> {
    await sweepTemporary(this.home);
    const { SnapshotWriter } = await import("./snapshot-writer.ts");
    return new SnapshotWriter(this.home);
  }

  /** Newest first. What is no snapshot is left out. */
  async list(): Promise<StoredSnapshot[]> {
    const leased = await leasedSnapshots(this.home);
    const names = await this.#names.entries();
    const keyed = new Set((await this.#keys.entries()).map(([, id]) => id));
    const found: StoredSnapshot[] = [];
    for (const id of await this.#ids()) {
      const manifest = this.#manifest(id);
      if (manifest === undefined) continue;
      found.push({
        id,
        names: names.filter(([, target]) => target === id).map(([name]) => name),
        keyed: keyed.has(id),
        manifest,
        diskBytes: await allocatedBytes(memoryPath(snapshotFolder(this.home, id))),
        inUse: leased.has(id),
      });
    }
    return found.sort((a, b) => b.manifest.createdAt - a.manifest.createdAt);
  }

  /**
   * The id of a snapshot by name, id or at least four first digits of its id.
   *
   * @throws SupermachineError `SNAPSHOT_NOT_FOUND`, or `INVALID_ARGUMENT` when several ids start with the digits.
   */
  async find(nameOrId: string): Promise<SnapshotId> {
    const ids = await this.#ids();
    const named = isName(nameOrId) ? await this.#names.get(nameOrId) : undefined;
    if (named !== undefined && ids.includes(named)) return named;
    const matching = /^[0-9a-f]{4,64}$/.test(nameOrId) ? ids.filter((id) => id.startsWith(nameOrId)) : [];
    if (matching.length > 1)
      throw new SupermachineError(
        "INVALID_ARGUMENT",
        `Several snapshots have ids that start with '${nameOrId}'`,
        {
          hint: "Give more digits, or the name",
        },
      );
    if (matching[0] === undefined) throw notFound(nameOrId);
    return matching[0];
  }

  /**
   * Opens a snapshot and keeps it from being removed.
   *
   * @throws SupermachineError `SNAPSHOT_NOT_FOUND`, `SNAPSHOT_INVALID`, `SNAPSHOT_MISMATCH`.
   */
  async use(id: SnapshotId, options: { readonly verify?: "sealed" | "full" } = {}): Promise<SnapshotLease> {
    const lease = leaseSnapshot(this.home, id);
    try {
      const snapshot = await this.#open(id, options);
      return { snapshot, [Symbol.asyncDispose]: () => lease[Symbol.asyncDispose]() };
    } catch (error) {
      await lease[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * Gives a snapshot a name: letters, digits, dots, hyphens and underscores, up to 64.
   *
   * @throws SupermachineError `NAME_IN_USE` unless `replace`, `INVALID_ARGUMENT`, `SNAPSHOT_NOT_FOUND`.
   */
  async name(id: SnapshotId, name: string, { replace = false }: { replace?: boolean } = {}): Promise<void> {
    if (!isName(name)) throw noName(name);
    await using _lock = await this.#lock("names");
    if (!(await exists(snapshotFolder(this.home, id)))) throw notFound(id.slice(0, 12));
    if (!replace && (await this.#isTaken(name, id))) throw nameInUse(name);
    await this.#names.set(name, id);
  }

  /** Fails early where a name cannot be given; `name` is what decides. @throws as `name`. */
  async checkName(name: string): Promise<void> {
    if (!isName(name)) throw noName(name);
    if (await this.#isTaken(name)) throw nameInUse(name);
  }

  /** By another snapshot than this one. */
  async #isTaken(name: string, id?: SnapshotId): Promise<boolean> {
    const other = await this.#names.get(name);
    return other !== undefined && other !== id && (await exists(snapshotFolder(this.home, other)));
  }

  /**
   * Removes a snapshot and its names.
   *
   * @throws SupermachineError `SNAPSHOT_NOT_FOUND`, `SNAPSHOT_IN_USE` while a machine uses it or a snapshot is based on it.
   */
  async remove(nameOrId: string): Promise<SnapshotId> {
    const id = await this.find(nameOrId);
    await using _lock = await this.#lock("names");
    const child = await this.#childOf(id);
    if (child !== undefined)
      throw inUse(nameOrId, `snapshot ${child.slice(0, 12)} is based on it`, "Remove that one first");
    if ((await leasedSnapshots(this.home)).has(id)) throw usedByMachine(nameOrId);
    await this.#discard(id, async () => {
      if ((await leasedSnapshots(this.home)).has(id)) throw usedByMachine(nameOrId);
    });
    for (const [name, target] of await this.#names.entries())
      if (target === id) await this.#names.remove(name);
    for (const [key, target] of await this.#keys.entries()) if (target === id) await this.#keys.remove(key);
    return id;
  }

  /**
   * The snapshot that was made for these inputs, or made now. However many processes ask at once, one makes it. A
   * damaged one, and one that `reject` finds a reason against, is made anew.
   *
   * @throws what `make` throws; SupermachineError `ABORTED`.
   */
  async keyed(key: string, { make, reject, signal }: KeyedOptions): Promise<SnapshotLease> {
    const word = sha256(new TextEncoder().encode(key));
    const ready = await this.#useKey(word, reject);
    if (ready !== undefined) return ready;
    await using _lock = await this.#lock(`key-${word}`, signal);
    const meanwhile = await this.#useKey(word, reject);
    if (meanwhile !== undefined) return meanwhile;
    const useless = await this.#keys.get(word);
    await this.#keys.remove(word);
    // One that is still in use, or has others based on it, stays without its key.
    if (useless !== undefined) await this.remove(useless).catch(() => undefined);
    const id = await make();
    await this.#keys.set(word, id);
    return await this.use(id);
  }

  /** A remover that finds the lease puts the folder back, so what is missing is looked for again. */
  async #open(id: SnapshotId, options: { readonly verify?: "sealed" | "full" }): Promise<OpenedSnapshot> {
    const directory = snapshotFolder(this.home, id);
    for (let attempt = 1; ; attempt++) {
      try {
        return await opened.open(directory, { home: this.home, ...options });
      } catch (error) {
        const missing = error instanceof SupermachineError && errnoOf(error.cause) === "ENOENT";
        if (!missing) throw error;
        if (attempt === 5) throw (await exists(directory)) ? error : notFound(id.slice(0, 12));
        await delay(10);
      }
    }
  }

  async #useKey(word: string, reject: KeyedOptions["reject"]): Promise<SnapshotLease | undefined> {
    const id = await this.#keys.get(word);
    if (id === undefined) return undefined;
    try {
      const lease = await this.use(id);
      if (reject?.(lease.snapshot.manifest) === undefined) return lease;
      await lease[Symbol.asyncDispose]();
      return undefined;
    } catch (error) {
      if (error instanceof SupermachineError && error.code.startsWith("SNAPSHOT_")) return undefined;
      throw error;
    }
  }

  /** Moves a snapshot out of sight and deletes it, unless `check` throws: then it comes back. */
  async #discard(id: SnapshotId, check: () => Promise<void>): Promise<void> {
    const folder = snapshotFolder(this.home, id);
    using aside = createTemporary(this.home, "removed-snapshot");
    try {
      await rename(folder, aside.path);
      try {
        await check();
      } catch (error) {
        await rename(aside.path, folder);
        throw error;
      }
      await rm(aside.path, { recursive: true, force: true });
    } catch (error) {
      throw systemFailure(error, "Removing", folder);
    }
  }

  async #childOf(id: SnapshotId): Promise<SnapshotId | undefined> {
    return (await this.#ids()).find((other) => this.#manifest(other)?.parent === id);
  }

  /** Of a snapshot that need not be whole; undefined when it has none that can be read. */
  #manifest(id: SnapshotId): SnapshotManifest | undefined {
    try {
      return parseManifest(readWhole(snapshotFolder(this.home, id), manifestName, maxManifestLength));
    } catch {
      return undefined;
    }
  }

  async #ids(): Promise<SnapshotId[]> {
    const names = await readdir(itemsFolder(this.home)).catch(() => []);
    return names.filter((name) => /^[0-9a-f]{64}$/.test(name));
  }

  #lock(name: string, signal?: AbortSignal): ReturnType<typeof acquireFileLock> {
    return acquireFileLock(this.home, { folder: locksFolder(this.home), name }, { signal });
  }
}

/** A name must not pass for the first digits of an id. */
function isName(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(text) && !/^[0-9a-f]{12,64}$/.test(text);
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

async function allocatedBytes(path: string): Promise<number> {
  return ((await stat(path).catch(() => undefined))?.blocks ?? 0) * 512;
}

function noName(name: string): SupermachineError {
  return new SupermachineError("INVALID_ARGUMENT", `'${name.slice(0, 80)}' cannot be a snapshot's name`, {
    hint: "Use up to 64 letters, digits, dots, hyphens and underscores, not the form of an id",
  });
}

function nameInUse(name: string): SupermachineError {
  return new SupermachineError("NAME_IN_USE", `Another snapshot is called '${name}'`, {
    hint: "Choose another name, or remove that snapshot",
  });
}

function notFound(nameOrId: string): SupermachineError {
  return new SupermachineError("SNAPSHOT_NOT_FOUND", `There is no snapshot '${nameOrId.slice(0, 80)}'`, {
    hint: "List them all with 'supermachine snapshots ls'",
  });
}

function usedByMachine(nameOrId: string): SupermachineError {
  return inUse(nameOrId, "a machine uses it", "Stop that machine first");
}

function inUse(nameOrId: string, why: string, hint: string): SupermachineError {
  return new SupermachineError("SNAPSHOT_IN_USE", `Snapshot '${nameOrId}' cannot be removed: ${why}`, {
    hint,
  });
}
