import { rm } from "node:fs/promises";
import { basename, resolve } from "node:path";
import type { Readable } from "node:stream";
import { SupermachineError } from "../errors/supermachine-error.ts";
import type { ImageStore } from "../image/host/image-store.ts";
import type * as store from "../image/host/image-store-types.ts";
import type { ImageConfig, LocalImage, PullPolicy } from "../image/image.ts";
import { formatPlatform } from "../image/platform.ts";
import type { ProgressListener } from "../progress/progress.ts";
import { rootfsKey } from "../rootfs/host/rootfs-key.ts";
import { ROOTFS_LABEL } from "../snapshot/labels.ts";
import { Home } from "../storage/home.ts";
import type { Machine } from "./machine.ts";
import { isLive } from "./machine-record.ts";
import { MachineRegistry } from "./machine-registry.ts";
import type { LookupOptions, MachineInfo, MachineOptions, SnapshotInfo } from "./types.ts";

/** An image in the local store. */
export interface ImageInfo {
  /** Canonical name: "docker.io/library/alpine:latest". */
  readonly reference: string;
  /** Of the platform's manifest; identifies the image. */
  readonly digest: string;
  /** "linux/amd64" */
  readonly platform: string;
  /** Bytes of all blobs as stored; those shared with other images are counted in each. */
  readonly size: number;
  /** Milliseconds since 1970, when it was pulled or imported. */
  readonly pulledAt: number;
}

/** An image with its configuration. */
export interface ImageDetails extends ImageInfo {
  readonly config: ImageConfig;
  /** Bottom first. */
  readonly layers: readonly ImageLayer[];
}

/** One layer of an image. */
export interface ImageLayer {
  /** Of the blob as stored. */
  readonly digest: string;
  /** Of the uncompressed tar. */
  readonly diffId: string;
  /** Bytes of the blob as stored. */
  readonly size: number;
}

/** Options of `Image.pull`. */
export interface PullOptions extends LookupOptions {
  /** "linux/arm64" or the like. Default: the host's. */
  platform?: string | undefined;
  /** Default "always": the registry is asked, and only what is missing is fetched. */
  policy?: PullPolicy | undefined;
  onProgress?: ProgressListener | undefined;
  signal?: AbortSignal | undefined;
}

/** Options of `Image.import`. */
export interface ImportOptions extends LookupOptions {
  /** Path of a tar file, or its bytes. gzip and zstd are recognised. */
  source: string | Readable;
  /** Name that the image gets. */
  name: string;
  platform?: string | undefined;
  onProgress?: ProgressListener | undefined;
  signal?: AbortSignal | undefined;
}

/** Options of `Image.prepare`: the machine's own, and what to do in it. */
export interface PrepareOptions
  extends Omit<
    MachineOptions,
    "name" | "hostname" | "ports" | "labels" | "detached" | "remove" | "snapshot"
  > {
  /** Brings a new machine into the state that is to be kept. What it throws is what `prepare` rejects with. */
  warmup: (machine: Machine) => unknown;
  /** Tells what the warm-up does from what another one does. Default: the source text of `warmup`. */
  key?: string | undefined;
  /** Name for the snapshot; taken from an earlier prepared one that has it. */
  name?: string | undefined;
}

/** What `Image` can do. */
export interface ImageStoreFacade {
  /**
   * Makes an image available locally: "alpine:3.20" from a registry, or "oci:DIR[:TAG]", "oci-archive:FILE",
   * "docker-archive:FILE[:REF]".
   *
   * @throws SupermachineError `INVALID_REFERENCE`, `IMAGE_NOT_FOUND`, `PLATFORM_MISMATCH`, `REGISTRY_AUTH`,
   * `REGISTRY_UNAVAILABLE`, `DIGEST_MISMATCH`, `ARCHIVE_INVALID`, `NO_SPACE`, `ABORTED`.
   *
   * @example
   * ```ts
   * import { Image } from "supermachine";
   *
   * const { digest, config } = await Image.pull("busybox", { policy: "missing" });
   * console.log(digest, config.cmd);
   * ```
   */
  pull(source: string, options?: PullOptions): Promise<ImageDetails>;

  /**
   * The images in the store, sorted by name.
   *
   * @example
   * ```ts
   * import { Image } from "supermachine";
   *
   * console.log((await Image.list()).map(({ reference }) => reference));
   * ```
   */
  list(options?: LookupOptions): Promise<ImageInfo[]>;

  /**
   * Everything about an image in the store, by name or digest.
   *
   * @throws SupermachineError `IMAGE_NOT_FOUND`; `DIGEST_MISMATCH` when parts of it are missing or damaged.
   *
   * @example
   * ```ts
   * import { Image } from "supermachine";
   *
   * const { config, layers } = await Image.inspect("busybox");
   * console.log(config.env, layers.length);
   * ```
   */
  inspect(reference: string, options?: LookupOptions): Promise<ImageDetails>;

  /**
   * Forgets an image and frees what no other needs. With `force` also when a machine runs it; that machine keeps
   * running.
   *
   * @throws SupermachineError `IMAGE_NOT_FOUND`, `IMAGE_IN_USE`.
   *
   * @example
   * ```ts
   * import { Image, SupermachineError } from "supermachine";
   *
   * try {
   *   await Image.remove("example.test/never-pulled");
   * } catch (error) {
   *   console.log((error as SupermachineError).code); // IMAGE_NOT_FOUND
   * }
   * ```
   */
  remove(reference: string, options?: LookupOptions & { force?: boolean | undefined }): Promise<void>;

  /**
   * Frees what no image and no running machine needs: layers, root file systems, leftovers of interrupted work.
   *
   * @example
   * ```ts
   * import { Image } from "supermachine";
   *
   * const { freedBytes } = await Image.prune();
   * console.log(freedBytes);
   * ```
   */
  prune(options?: LookupOptions): Promise<{ freedBytes: number }>;

  /**
   * Keeps the state of a machine that has been warmed up: dependencies installed, caches filled, a server started. Done
   * once for the same image, options and warm-up; afterwards it returns what there is, without starting anything.
   * Machines are made of it with `Machine.create({ snapshot: id })`.
   *
   * The source text of a warm-up does not show what it takes from around it: give a `key` when that matters.
   *
   * @throws SupermachineError as `Machine.create`, and `UNSUPPORTED` on engines that cannot. `NAME_IN_USE` when a
   * snapshot that was made by hand has the name. Whatever the warm-up throws; then nothing is kept.
   *
   * @example
   * ```ts
   * import { Image, Machine } from "supermachine";
   *
   * const { id } = await Image.prepare("busybox", {
   *   memory: "256MiB",
   *   warmup: (machine) => machine.shell("echo warm >/state", { check: true }),
   * });
   * await using machine = await Machine.create({ snapshot: id });
   * console.log((await machine.shell("cat /state")).stdout); // warm
   * ```
   */
  prepare(source: string, options: PrepareOptions): Promise<SnapshotInfo>;

  /**
   * Makes an image of a tar archive of a root file system.
   *
   * @throws SupermachineError `INVALID_REFERENCE`, `ARCHIVE_INVALID`, `NO_SPACE`, `ABORTED`.
   *
   * @example
   * ```ts
   * import { Image } from "supermachine";
   *
   * const { reference } = await Image.import({ source: "rootfs.tar", name: "mine:1" });
   * console.log(reference); // mine:1
   * ```
   */
  import(options: ImportOptions): Promise<ImageDetails>;
}

/**
 * The local store of images.
 *
 * @example
 * ```ts
 * import { Image } from "supermachine";
 *
 * for (const { reference, size } of await Image.list()) console.log(reference, size);
 * ```
 */
export const Image: ImageStoreFacade = {
  pull: async (source, options = {}) => {
    const { platform, policy = "always", onProgress, signal } = options;
    const images = await storeOf(options);
    return localDetails(images, await images.pull(source, { platform, policy, onProgress, signal }));
  },

  list: async (options = {}) => (await (await storeOf(options)).list()).map(infoOf),

  inspect: async (reference, options = {}) => detailsOf(await (await storeOf(options)).inspect(reference)),

  remove: async (reference, options = {}) => {
    const images = await storeOf(options);
    const { manifestDigest } = await images.inspect(reference);
    const user = (await runningMachines(options)).find(({ imageDigest }) => imageDigest === manifestDigest);
    if (user !== undefined && options.force !== true)
      throw new SupermachineError(
        "IMAGE_IN_USE",
        `The machine '${user.name}' runs the image '${reference}'`,
        {
          hint: "Stop the machine first, or remove the image by force",
          data: { machine: user.id },
        },
      );
    await images.remove(reference, { rootfsKey, rootfsInUse: () => rootfsOfSnapshots(options) });
  },

  prune: async (options = {}) => {
    // Made again by the next command; that of older versions is never used again.
    await rm(new Home(options.home).compiled, { recursive: true, force: true });
    await new MachineRegistry(new Home(options.home)).sweep();
    const rootfsInUse = () => rootfsOfSnapshots(options);
    const images = await storeOf(options);
    return { freedBytes: (await images.prune({ rootfsKey, rootfsInUse })).bytes };
  },

  prepare: async (source, options) => {
    const [{ prepareImage }, { defaultParts }] = await Promise.all([
      import("./prepare-image.ts"),
      import("./default-parts.ts"),
    ]);
    return await prepareImage(source, options, defaultParts);
  },

  import: async ({ source, name, ...options }) => {
    const { platform, onProgress, signal } = options;
    const common = { platform, onProgress, signal };
    const images = await storeOf(options);
    const local =
      typeof source === "string"
        ? await images.import(resolve(source), name, common)
        : await images.import("-", name, { ...common, stdin: source });
    return localDetails(images, local);
  },
};

/** Imported here, because this module is loaded with the library and by commands that deal with machines alone. */
async function storeOf(options: LookupOptions): Promise<ImageStore> {
  const { ImageStore } = await import("../image/host/image-store.ts");
  return new ImageStore(new Home(options.home));
}

/** A snapshot's guest has its image mounted, whatever became of the image's name. */
async function rootfsOfSnapshots(options: LookupOptions): Promise<string[]> {
  const { SnapshotStore } = await import("../snapshot/host/snapshot-store.ts");
  const snapshots = await new SnapshotStore(new Home(options.home)).list();
  return snapshots.map(({ manifest }) => basename(manifest.labels[ROOTFS_LABEL] ?? "", ".erofs"));
}

async function runningMachines(options: LookupOptions): Promise<MachineInfo[]> {
  const records = await new MachineRegistry(new Home(options.home)).list();
  return records.filter(isLive).map(({ info }) => info);
}

function infoOf(image: store.ImageSummary): ImageInfo {
  const { reference, manifestDigest, platform, size, pulledAtMs } = image;
  return { reference, digest: manifestDigest, platform, size, pulledAt: pulledAtMs };
}

function detailsOf(image: store.ImageDetails): ImageDetails {
  const { reference, config, layers } = image;
  if (config === undefined || layers === undefined)
    throw new SupermachineError(
      "DIGEST_MISMATCH",
      `Parts of the image '${reference}' are missing from the store`,
      {
        hint: `Pull it again: supermachine pull ${reference}`,
      },
    );
  return { ...infoOf(image), config, layers: layers.map(layerOf) };
}

/** Of the image that was asked for, where several names and platforms share the store. */
async function localDetails(images: ImageStore, local: LocalImage): Promise<ImageDetails> {
  const { reference, manifestDigest, config, layers } = local;
  const platform = formatPlatform(local.platform);
  const stored = (await images.list()).find(
    (image) => image.reference === reference && image.manifestDigest === manifestDigest,
  );
  const size = stored?.size ?? layers.reduce((sum, layer) => sum + layer.size, 0);
  const pulledAt = stored?.pulledAtMs ?? Date.now();
  return { reference, digest: manifestDigest, platform, size, pulledAt, config, layers: layers.map(layerOf) };
}

function layerOf({ digest, diffId, size }: ImageLayer): ImageLayer {
  return { digest, diffId, size };
}
