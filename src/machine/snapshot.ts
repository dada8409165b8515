import { resolve } from "node:path";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { SnapshotStore, type StoredSnapshot } from "../snapshot/host/snapshot-store.ts";
import { foreignLabels, IMAGE_LABEL, kindOf } from "../snapshot/labels.ts";
import { Home } from "../storage/home.ts";
import { sweepTemporary } from "../storage/temporary.ts";
import type { LookupOptions, SnapshotInfo } from "./types.ts";

/** What the store of snapshots can do. */
export interface SnapshotStoreFacade {
  /**
   * The snapshots that are kept, newest first.
   *
   * @param options `all`: also templates and what is kept for forks that run.
   *
   * @example
   * ```ts
   * import { Snapshot } from "supermachine";
   *
   * for (const { id, names, image } of await Snapshot.list()) console.log(id.slice(0, 12), names, image);
   * ```
   */
  list(options?: LookupOptions & { all?: boolean | undefined }): Promise<SnapshotInfo[]>;

  /**
   * What is known about one.
   *
   * @param name Its name, its id, or at least four first digits of its id.
   * @throws SupermachineError `SNAPSHOT_NOT_FOUND`.
   *
   * @example
   * ```ts
   * import { Machine, Snapshot } from "supermachine";
   *
   * await using machine = await Machine.create("busybox");
   * await machine.snapshot("ready", { replace: true });
   * console.log((await Snapshot.inspect("ready")).cpus);
   * ```
   */
  inspect(name: string, options?: LookupOptions): Promise<SnapshotInfo>;

  /**
   * Removes one, with its names.
   *
   * @throws SupermachineError `SNAPSHOT_NOT_FOUND`, `SNAPSHOT_IN_USE` while a machine uses it or another is based on it.
   *
   * @example
   * ```ts
   * import { Machine, Snapshot } from "supermachine";
   *
   * await using machine = await Machine.create("busybox");
   * const { id } = await machine.snapshot();
   * await Snapshot.remove(id);
   * ```
   */
  remove(name: string, options?: LookupOptions): Promise<void>;

  /**
   * Frees what no machine needs any more: snapshots of forks that have ended, what was made for a state of things that is
   * past, and what processes left unfinished when they were killed.
   *
   * @param options `templates`: all that can be made again when it is needed and is not in use: templates, and prepared
   * states without a name.
   *
   * @example
   * ```ts
   * import { Snapshot } from "supermachine";
   *
   * const { removed, freedBytes } = await Snapshot.prune();
   * console.log(removed.length, freedBytes);
   * ```
   */
  prune(
    options?: LookupOptions & { templates?: boolean | undefined },
  ): Promise<{ removed: string[]; freedBytes: number }>;

  /**
   * Writes a snapshot, with those that it is based on, to one file. The image is not in it: it has to be pulled where the
   * snapshot is to be used.
   *
   * @param options `compress`: with gzip.
   * @throws SupermachineError `SNAPSHOT_NOT_FOUND`, `SNAPSHOT_INVALID`, `NO_SPACE`, `PERMISSION_DENIED`.
   *
   * @example
   * ```ts
   * import { Machine, Snapshot } from "supermachine";
   *
   * await using machine = await Machine.create("busybox");
   * const { id } = await machine.snapshot();
   * await Snapshot.export(id, "ready.snapshot");
   * console.log((await Snapshot.import("ready.snapshot")).id === id); // true
   * ```
   */
  export(
    name: string,
    file: string,
    options?: LookupOptions & { compress?: boolean | undefined },
  ): Promise<void>;

  /**
   * Takes a snapshot in that `export` has written; everything in it is verified.
   *
   * @throws SupermachineError `SNAPSHOT_INVALID`, `SNAPSHOT_MISMATCH`, `ARCHIVE_INVALID`, `NO_SPACE`, `NAME_IN_USE`.
   *
   * @example
   * ```ts
   * import { Snapshot } from "supermachine";
   *
   * await Snapshot.import("missing.snapshot").catch((error) => console.log(error.code)); // INVALID_ARGUMENT
   * ```
   */
  import(file: string, options?: LookupOptions & { name?: string | undefined }): Promise<SnapshotInfo>;
}

/**
 * Snapshots of machines, as they are kept.
 *
 * @example
 * ```ts
 * import { Machine, Snapshot } from "supermachine";
 *
 * await using machine = await Machine.create("busybox", { memory: "256MiB" });
 * await machine.files.write("/state", "as it was");
 * const { id } = await machine.snapshot();
 * await using copy = await Machine.create({ snapshot: id });
 * console.log(await copy.files.readText("/state")); // as it was
 * ```
 */
export const Snapshot: SnapshotStoreFacade = {
  list: async (options = {}) => {
    const found = (await storeOf(options).list()).map(infoOf);
    return options.all === true ? found : found.filter(({ kind }) => kind === "snapshot" || kind === "warm");
  },

  inspect: async (name, options = {}) => await inspectIn(storeOf(options), name),

  remove: async (name, options = {}) => void (await storeOf(options).remove(name)),

  prune: async (options = {}) => {
    const store = storeOf(options);
    await sweepTemporary(store.home);
    const removed: string[] = [];
    let freedBytes = 0;
    for (const { id, names, keyed, inUse, manifest, diskBytes } of await store.list()) {
      const kind = kindOf(manifest);
      const again = kind === "template" || (kind === "warm" && names.length === 0);
      const isYoung = Date.now() - manifest.createdAt < youngMs;
      // Without its key nobody will ask for it: what it was made for has changed.
      const useless = !isYoung && (kind === "fork" || (again && !keyed));
      if (inUse || !(useless || (again && options.templates === true))) continue;
      // Another process may have taken or removed it meanwhile, and what others are based on stays.
      const gone = await store.remove(id).then(
        () => true,
        () => false,
      );
      if (!gone) continue;
      removed.push(id);
      freedBytes += diskBytes;
    }
    return { removed, freedBytes };
  },

  export: async (name, file, options = {}) => {
    const store = storeOf(options);
    await using lease = await store.use(await store.find(name), { verify: "full" });
    const { exportSnapshotFile } = await import("../snapshot/host/export-snapshot.ts");
    const compression = options.compress === true ? "gzip" : "none";
    await exportSnapshotFile(lease.snapshot, resolve(file), { compression });
  },

  import: async (file, options = {}) => {
    const store = storeOf(options);
    const { importSnapshotFile } = await import("../snapshot/host/import-snapshot.ts");
    const id = await importSnapshotFile(resolve(file), { home: store.home });
    if (options.name !== undefined) await store.name(id, options.name);
    return await inspectIn(store, id);
  },
};

/** Whoever made a snapshot for copies or for a key may not have taken it yet. */
const youngMs = 60_000;

/** What the store knows about one snapshot. @throws SupermachineError `SNAPSHOT_NOT_FOUND`. */
export async function inspectIn(store: SnapshotStore, name: string): Promise<SnapshotInfo> {
  const id = await store.find(name);
  const found = (await store.list()).find((stored) => stored.id === id);
  if (found !== undefined) return infoOf(found);
  throw new SupermachineError("SNAPSHOT_INVALID", `Snapshot '${name}' cannot be read`, {
    hint: `Remove it: supermachine snapshots rm ${id.slice(0, 12)}`,
  });
}

function storeOf(options: LookupOptions): SnapshotStore {
  return new SnapshotStore(new Home(options.home));
}

function infoOf({ id, names, manifest, diskBytes, inUse }: StoredSnapshot): SnapshotInfo {
  const image = manifest.labels[IMAGE_LABEL];
  return {
    id,
    names,
    kind: kindOf(manifest),
    ...(image === undefined ? {} : { image }),
    cpus: manifest.machine.cpus,
    memoryMiB: manifest.machine.memoryMiB,
    kernel: manifest.kernel.release,
    ...(manifest.parent === undefined ? {} : { parent: manifest.parent }),
    diskBytes,
    inUse,
    labels: foreignLabels(manifest),
    createdAt: manifest.createdAt,
  };
}
