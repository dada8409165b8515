import { SupermachineError } from "../../errors/supermachine-error.ts";
import type { ProgressListener } from "../../progress/progress.ts";
import type { Home } from "../../storage/home.ts";
import { sweepTemporary } from "../../storage/temporary.ts";
import type { LocalImage, Platform } from "../image.ts";
import { formatPlatform, hostPlatform, parsePlatform } from "../platform.ts";
import { canonicalName, familiarName, type ImageReference, parseReference } from "../reference.ts";
import { parseImageSource } from "../source.ts";
import { openArchiveFile } from "./archives/archive-file.ts";
import { type ArchiveSource, withArchive } from "./archives/open-archive.ts";
import { fetchLayers } from "./fetch-layers.ts";
import type { ImageProvider, RootDocument } from "./image-provider.ts";
import type {
  ImageDetails,
  ImageSummary,
  ImportOptions,
  PruneOptions,
  PruneResult,
  PullOptions,
} from "./image-store-types.ts";
import { imageFromRootfs } from "./import-rootfs.ts";
import { LocalImages } from "./local-images.ts";
import { RegistryClient } from "./registry/registry-client.ts";
import { RegistryProvider } from "./registry/registry-provider.ts";
import { aborted } from "./registry/retry.ts";
import { defaultTimings, type Timings } from "./registry/timings.ts";
import { selectImage } from "./select-image.ts";
import { collectGarbage, type Freed } from "./store/collect-garbage.ts";
import { ContentStore } from "./store/content-store.ts";
import { ImageIndex, type ImageRecord } from "./store/image-index.ts";
import { Lease } from "./store/lease.ts";

/**
 * The images of one home folder: pulled from registries and archives, listed, inspected, removed. Any number of
 * processes may use the same home at once.
 *
 * @example
 * ```ts
 * const images = new ImageStore(new Home());
 * const image = await images.pull("alpine:3.20", { onProgress: console.log });
 * console.log(image.manifestDigest, image.layers.length);
 * ```
 */
export class ImageStore {
  readonly #home: Home;
  readonly #store: ContentStore;
  readonly #index: ImageIndex;
  readonly #local: LocalImages;
  readonly #environment: NodeJS.ProcessEnv;
  readonly #timings: Timings;

  constructor(home: Home, options: { environment?: NodeJS.ProcessEnv; timings?: Partial<Timings> } = {}) {
    this.#home = home;
    this.#store = new ContentStore(home);
    this.#index = new ImageIndex(home);
    this.#local = new LocalImages(this.#store, this.#index);
    this.#environment = options.environment ?? process.env;
    this.#timings = { ...defaultTimings, ...options.timings };
  }

  /**
   * Makes an image available here, fetching what is missing. `source` is a reference, an image id, or one of the
   * transports that `parseImageSource` reads. Registries are asked as `options.policy` says; archives are always
   * read, though only parts that are missing are copied.
   *
   * @throws SupermachineError among others `IMAGE_NOT_FOUND`, `PLATFORM_MISMATCH`, `REGISTRY_AUTH`,
   *   `REGISTRY_UNAVAILABLE`, `DIGEST_MISMATCH`, `ARCHIVE_INVALID`, `NO_SPACE`, `ABORTED`
   */
  async pull(source: string, options: PullOptions = {}): Promise<LocalImage> {
    const wanted = wantedPlatform(options.platform);
    const id = /^(?:sha256:[0-9a-f]+|[0-9a-f]{4,64})$/.test(source);
    const byId = id ? await this.#openLocal(source, wanted, options) : undefined;
    if (byId !== undefined) return byId;
    if (source.startsWith("sha256:")) throw notHere(source, "An id names only images that are here already");
    const parsed = parseImageSource(source);
    return parsed.kind === "registry"
      ? this.#pullFromRegistry(parsed.reference, wanted, options)
      : this.#pullFromArchive(parsed, wanted, options);
  }

  /**
   * Makes an image from the tar file of a root file system (plain, gzip or zstd; "-" is standard input) and gives it
   * a name.
   *
   * @throws SupermachineError `INVALID_REFERENCE`, `IMAGE_NOT_FOUND` (no such file), `ARCHIVE_INVALID`, `NO_SPACE`
   */
  async import(path: string, name: string, options: ImportOptions = {}): Promise<LocalImage> {
    const reference = parseReference(name);
    if (reference.digest !== undefined)
      throw new SupermachineError("INVALID_REFERENCE", `Cannot name an image '${name}'`, {
        hint: "A digest follows from the content; give a name and a tag",
      });
    const { onProgress = () => undefined, config = {}, stdin } = options;
    const signal = options.signal ?? new AbortController().signal;
    const wanted = wantedPlatform(options.platform);
    using archive = await openArchiveFile(path, { home: this.#home, stdin, signal });
    const { root, provider } = await imageFromRootfs(archive, {
      store: this.#store,
      platform: wanted,
      config,
      signal,
    });
    const context = { provider, reference: canonicalName(reference), wanted, onProgress, signal };
    return await this.#bring(root, context);
  }

  /** What `images` shows, sorted by name. */
  async list(): Promise<ImageSummary[]> {
    return (await this.#index.list()).map(summaryOf);
  }

  /** Everything about an image that is here, by name or id; for another platform than the host's when only that is here. */
  async inspect(text: string): Promise<ImageDetails> {
    const record = await this.#require(text);
    const image = await this.#local.open(record, { verify: false });
    const all = await this.#index.list();
    const names = all.filter((other) => other.manifestDigest === record.manifestDigest);
    return {
      ...summaryOf(record),
      names: [...new Set(names.map((other) => other.reference))],
      rootDigest: record.rootDigest,
      configDigest: record.configDigest,
      complete: image !== undefined,
      ...(image === undefined ? {} : { config: image.config, layers: image.layers }),
    };
  }

  /**
   * Forgets a name (for every platform), or, given an id, every name of that image; then frees what no image needs.
   * Returns the forgotten names.
   */
  async remove(text: string, options: Pick<PruneOptions, "rootfsKey"> = {}): Promise<string[]> {
    const records = await this.#local.findAll(text);
    if (records.length === 0) throw notHere(text);
    for (const record of records) await this.#index.remove(record);
    await this.#collect({ ...options, keepPartials: true });
    return [...new Set(records.map((record) => record.reference))];
  }

  /** Frees what no image needs: blobs, root file systems, leftovers of interrupted work. Safe during pulls. */
  async prune(options: PruneOptions = {}): Promise<PruneResult> {
    const forgotten = options.all === true ? await this.#forgetAll(options.keep ?? []) : [];
    return { images: forgotten, ...(await this.#collect({ ...options, keepPartials: false })) };
  }

  async #pullFromRegistry(
    reference: ImageReference,
    wanted: Platform,
    options: PullOptions,
  ): Promise<LocalImage> {
    const { policy = "missing", onProgress = () => undefined } = options;
    const signal = options.signal ?? new AbortController().signal;
    const name = canonicalName(reference);
    const record = await this.#local.find(name, wanted);
    const local = record && (await this.#local.open(record, { verify: options.verify === true }));
    if (
      record !== undefined &&
      local !== undefined &&
      (policy !== "always" || reference.digest !== undefined)
    ) {
      onProgress({ phase: "resolve", id: "", state: "cached" });
      return local;
    }
    if (policy === "never")
      throw notHere(familiarName(reference), `Pull it first: supermachine pull ${familiarName(reference)}`);
    await sweepTemporary(this.#home);
    const timings = this.#timings;
    await using client = new RegistryClient(reference, {
      ...options,
      timings,
      environment: this.#environment,
    });
    onProgress({ phase: "resolve", id: "", state: "active" });
    const tag = reference.tag ?? "latest";
    if (record !== undefined && local !== undefined && (await client.head(tag)) === record.rootDigest) {
      onProgress({ phase: "resolve", id: "", state: "cached" });
      return local;
    }
    const root = await client.manifest(reference.digest ?? tag);
    onProgress({ phase: "resolve", id: "", state: "done" });
    const provider = new RegistryProvider(reference, { client, store: this.#store });
    return await this.#bring(root, { provider, reference: name, wanted, onProgress, signal });
  }

  async #pullFromArchive(source: ArchiveSource, wanted: Platform, options: PullOptions): Promise<LocalImage> {
    const { onProgress = () => undefined } = options;
    const signal = options.signal ?? new AbortController().signal;
    await sweepTemporary(this.#home);
    onProgress({ phase: "resolve", id: "", state: "active" });
    const settings = { home: this.#home, store: this.#store, stdin: options.stdin, signal };
    return withArchive(source, settings, ({ root, provider, reference }) => {
      onProgress({ phase: "resolve", id: "", state: "done" });
      return this.#bring(root, { provider, reference, wanted, onProgress, signal });
    });
  }

  /** Gets every part of an image into the store, then gives it its name. */
  async #bring(root: RootDocument, context: BringContext): Promise<LocalImage> {
    await using lease = new Lease(this.#home);
    // A collector may hold a blob for a moment before it sees the lease; then the blob is just fetched again.
    for (let round = 0; round < 3; round++) {
      const image = await this.#bringOnce(root, context, lease);
      if (image !== undefined) return image;
    }
    throw new SupermachineError(
      "DIGEST_MISMATCH",
      `Parts of image '${context.reference}' vanish while it is pulled`,
      { hint: "Something else changes the folder of images; find it, then pull again" },
    );
  }

  async #bringOnce(root: RootDocument, context: BringContext, lease: Lease): Promise<LocalImage | undefined> {
    const { provider, reference, wanted, onProgress, signal } = context;
    const store = this.#store;
    const selected = await selectImage(root, { provider, store, lease, wanted, signal });
    const { layers } = selected.manifest;
    await lease.add(layers.map(({ digest }) => digest));
    await fetchLayers(layers, { provider, store, signal, onProgress });
    if (signal.aborted) throw aborted(signal);
    const parts = new Map([...selected.documents, ...layers].map(({ digest, size }) => [digest, size]));
    const record: ImageRecord = {
      reference,
      platform: selected.config.platform,
      rootDigest: root.digest,
      manifestDigest: selected.manifestDigest,
      configDigest: selected.manifest.config.digest,
      blobs: [...parts.keys()],
      size: [...parts.values()].reduce((sum, size) => sum + size, 0),
      pulledAtMs: Date.now(),
    };
    await this.#index.put(record);
    return this.#local.open(record, { verify: false });
  }

  async #openLocal(text: string, wanted: Platform, options: PullOptions): Promise<LocalImage | undefined> {
    const record = await this.#local.find(text, wanted);
    return record && this.#local.open(record, { verify: options.verify === true });
  }

  async #require(text: string): Promise<ImageRecord> {
    const records = await this.#local.findAll(text);
    const record = (await this.#local.find(text, wantedPlatform(undefined))) ?? records[0];
    if (record === undefined) throw notHere(text);
    return record;
  }

  #collect(options: Pick<PruneOptions, "rootfsKey"> & { readonly keepPartials: boolean }): Promise<Freed> {
    const { rootfsKey, keepPartials } = options;
    const rootfsKeys = rootfsKey && (() => this.#rootfsKeys(rootfsKey));
    return collectGarbage({ store: this.#store, index: this.#index, keepPartials, rootfsKeys });
  }

  async #forgetAll(keep: readonly string[]): Promise<string[]> {
    const records = (await this.#index.list()).filter((record) => !keep.includes(record.manifestDigest));
    for (const record of records) await this.#index.remove(record);
    return records.map((record) => record.reference);
  }

  async #rootfsKeys(rootfsKey: (image: LocalImage) => string): Promise<Set<string>> {
    const keys = new Set<string>();
    for (const record of await this.#index.list()) {
      const image = await this.#local.open(record, { verify: false });
      if (image !== undefined) keys.add(rootfsKey(image));
    }
    return keys;
  }
}

interface BringContext {
  readonly provider: ImageProvider;
  /** The name that the image gets. */
  readonly reference: string;
  readonly wanted: Platform;
  readonly onProgress: ProgressListener;
  readonly signal: AbortSignal;
}

function wantedPlatform(text: string | undefined): Platform {
  return text === undefined ? hostPlatform(process.arch) : parsePlatform(text);
}

function summaryOf(record: ImageRecord): ImageSummary {
  const { reference, manifestDigest, platform, size, pulledAtMs } = record;
  return { reference, manifestDigest, platform: formatPlatform(platform), size, pulledAtMs };
}

function notHere(text: string, hint?: string): SupermachineError {
  return new SupermachineError("IMAGE_NOT_FOUND", `No image '${text}' here`, {
    hint: hint ?? "See `supermachine images` for what there is",
  });
}
