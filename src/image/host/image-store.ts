import { SupermachineError } from "../../errors/supermachine-error.ts";
import type { Home } from "../../storage/home.ts";
import { sweepTemporary } from "../../storage/temporary.ts";
import type { Digest, LocalImage, Platform } from "../image.ts";
import { formatPlatform, hostPlatform, parsePlatform } from "../platform.ts";
import { canonicalName, familiarName, type ImageReference, parseReference } from "../reference.ts";
import { parseImageSource } from "../source.ts";
// Only what a cached image needs is imported here: the registry client and the archive readers take their time to
// load and are imported when they are used.
import type { ArchiveSource } from "./archives/open-archive.ts";
import type {
  ImageDetails,
  ImageSummary,
  ImportOptions,
  PruneOptions,
  PruneResult,
  PullOptions,
} from "./image-store-types.ts";
import { LocalImages } from "./local-images.ts";
import type { Timings } from "./registry/timings.ts";
import type { Freed } from "./store/collect-garbage.ts";
import type { ImageRecord } from "./store/image-index.ts";

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
  readonly #images: LocalImages;
  readonly #environment: NodeJS.ProcessEnv;
  readonly #timings: Partial<Timings>;

  constructor(home: Home, options: { environment?: NodeJS.ProcessEnv; timings?: Partial<Timings> } = {}) {
    this.#home = home;
    this.#images = new LocalImages(home);
    this.#environment = options.environment ?? process.env;
    this.#timings = options.timings ?? {};
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
    // Ids are for what is here; who asks for the registry's state means a name.
    const mayBeId = /^(?:sha256:[0-9a-f]+|[0-9a-f]{4,64})$/.test(source) && options.policy !== "always";
    const byId = mayBeId ? await this.#known(source, wanted, options) : undefined;
    if (byId !== undefined) return byId.image;
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
    await sweepTemporary(this.#home);
    const { importArchive } = await import("./pull-from-archive.ts");
    const wanted = wantedPlatform(options.platform);
    return importArchive(path, reference, { ...options, images: this.#images, wanted });
  }

  /** What `images` shows, sorted by name. */
  async list(): Promise<ImageSummary[]> {
    return this.#images.index.list().map(summaryOf);
  }

  /** Everything about an image that is here, by name or id; for another platform than the host's when only that is here. */
  async inspect(text: string): Promise<ImageDetails> {
    const record = this.#require(text);
    const image = await this.#images.open(record, { verify: false });
    const all = this.#images.index.list();
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
  async remove(
    text: string,
    options: Pick<PruneOptions, "rootfsKey" | "rootfsInUse"> = {},
  ): Promise<string[]> {
    const records = this.#images.findAll(text);
    if (records.length === 0) throw notHere(text);
    for (const record of records) await this.#images.index.remove(record);
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
    const { policy = "missing" } = options;
    const known = await this.#known(canonicalName(reference), wanted, options);
    if (known !== undefined && (policy !== "always" || reference.digest !== undefined)) {
      options.onProgress?.({ phase: "resolve", id: "", state: "cached" });
      return known.image;
    }
    const short = familiarName(reference);
    if (policy === "never") throw notHere(short, `Pull it first: supermachine pull ${short}`);
    await sweepTemporary(this.#home);
    const { pullFromRegistry } = await import("./pull-from-registry.ts");
    return pullFromRegistry(reference, {
      ...options,
      images: this.#images,
      environment: this.#environment,
      timings: this.#timings,
      settings: this.#home.registrySettings,
      wanted,
      known,
    });
  }

  async #pullFromArchive(source: ArchiveSource, wanted: Platform, options: PullOptions): Promise<LocalImage> {
    await sweepTemporary(this.#home);
    const { pullFromArchive } = await import("./pull-from-archive.ts");
    return pullFromArchive(source, { ...options, images: this.#images, wanted });
  }

  /** An image that is here in full, and what its name resolved to. */
  async #known(text: string, wanted: Platform, options: PullOptions): Promise<KnownImage | undefined> {
    const record = this.#images.find(text, wanted);
    const image = record && (await this.#images.open(record, { verify: options.verify === true }));
    return image && { rootDigest: record.rootDigest, image };
  }

  #require(text: string): ImageRecord {
    const records = this.#images.findAll(text);
    const record = this.#images.find(text, wantedPlatform(undefined)) ?? records[0];
    if (record === undefined) throw notHere(text);
    return record;
  }

  async #collect(
    options: Pick<PruneOptions, "rootfsKey" | "rootfsInUse"> & { readonly keepPartials: boolean },
  ): Promise<Freed> {
    const { collectGarbage } = await import("./store/collect-garbage.ts");
    const { rootfsKey, keepPartials, rootfsInUse } = options;
    const rootfsKeys =
      rootfsKey &&
      (async () => new Set([...(await this.#rootfsKeys(rootfsKey)), ...((await rootfsInUse?.()) ?? [])]));
    return collectGarbage({ store: this.#images.store, index: this.#images.index, keepPartials, rootfsKeys });
  }

  async #forgetAll(keep: readonly string[]): Promise<string[]> {
    const records = this.#images.index.list().filter((record) => !keep.includes(record.manifestDigest));
    for (const record of records) await this.#images.index.remove(record);
    return records.map((record) => record.reference);
  }

  async #rootfsKeys(rootfsKey: (image: LocalImage) => string): Promise<Set<string>> {
    const keys = new Set<string>();
    for (const record of this.#images.index.list()) {
      const image = await this.#images.open(record, { verify: false });
      if (image !== undefined) keys.add(rootfsKey(image));
    }
    return keys;
  }
}

interface KnownImage {
  readonly rootDigest: Digest;
  readonly image: LocalImage;
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
