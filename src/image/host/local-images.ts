import { SupermachineError } from "../../errors/supermachine-error.ts";
import type { Home } from "../../storage/home.ts";
import { parseImageConfig } from "../config.ts";
import { digestParts } from "../digest.ts";
import type { LocalImage, LocalLayer, Platform } from "../image.ts";
import { maximumManifestLength } from "../limits.ts";
import { type ImageManifest, parseManifest } from "../manifest.ts";
import { layerCompression } from "../media-types.ts";
import { platformMatches } from "../platform.ts";
import { canonicalName, parseReference, repositoryName } from "../reference.ts";
import { ContentStore } from "./store/content-store.ts";
import { ImageIndex, type ImageRecord } from "./store/image-index.ts";

/** The images that are here, found as users name them and opened for use. */
export class LocalImages {
  readonly store: ContentStore;
  readonly index: ImageIndex;

  constructor(home: Home) {
    this.store = new ContentStore(home);
    this.index = new ImageIndex(home);
  }

  /** The record that a name, a digest or the beginning of an image id stands for on this platform. */
  find(text: string, wanted: Platform): ImageRecord | undefined {
    return (
      this.index.get(text, wanted) ??
      this.findAll(text).find((record) => platformMatches(record.platform, wanted))
    );
  }

  /** The records for every platform. A name goes before an id that looks the same. */
  findAll(text: string): ImageRecord[] {
    const records = this.index.list();
    const named = namedBy(text, records);
    if (named.length > 0) return named;
    const hex = /^(?:sha256:)?([0-9a-f]{4,64})$/.exec(text)?.[1];
    if (hex === undefined) return [];
    const matching = records.filter((record) => idsOf(record).some((id) => id.startsWith(hex)));
    if (new Set(matching.map((record) => record.manifestDigest)).size > 1)
      throw new SupermachineError("INVALID_REFERENCE", `'${text}' is the beginning of several image ids`, {
        hint: "Write more digits of the id",
      });
    return matching;
  }

  /**
   * The image of a record, with every blob in its place. Undefined when something is missing or has the wrong size;
   * `verify` reads every layer to the end besides, and drops those that were altered.
   */
  async open(record: ImageRecord, options: { readonly verify: boolean }): Promise<LocalImage | undefined> {
    const origin = { invalid: "ARCHIVE_INVALID", name: record.reference } as const;
    const manifestBytes = this.store.read(record.manifestDigest, maximumManifestLength);
    const configBytes = this.store.read(record.configDigest, maximumManifestLength);
    if (manifestBytes === undefined || configBytes === undefined) return undefined;
    const manifest = parseManifest(manifestBytes, { origin });
    const { config, diffIds } = parseImageConfig(configBytes, origin);
    if (manifest.kind !== "manifest" || diffIds.length !== manifest.layers.length) return undefined;
    if (!(await this.#hasLayers(manifest, options.verify))) return undefined;
    const layers = manifest.layers.map(
      ({ digest, size, mediaType }, index): LocalLayer => ({
        digest,
        diffId: diffIds[index] ?? digest,
        compression: layerCompression(mediaType),
        size,
        path: this.store.path(digest),
      }),
    );
    const { reference, manifestDigest, configDigest, platform } = record;
    return { reference, manifestDigest, configDigest, platform, config, layers };
  }

  async #hasLayers(manifest: ImageManifest, verify: boolean): Promise<boolean> {
    let complete = true;
    for (const { digest, size } of manifest.layers) {
      if (!this.store.has(digest, size)) complete = false;
      else if (verify && !(await this.store.verify(digest))) {
        await this.store.remove(digest);
        complete = false;
      }
    }
    return complete;
  }
}

/** Content is the same wherever it comes from, so a digest finds what was pulled by tag as well. */
function namedBy(text: string, records: readonly ImageRecord[]): ImageRecord[] {
  if (/^sha256:/.test(text)) return [];
  const exact = records.filter((record) => record.reference === text);
  if (exact.length > 0) return exact;
  try {
    const reference = parseReference(text.replace(/^docker:\/\//, ""));
    const { digest } = reference;
    if (digest === undefined)
      return records.filter((record) => record.reference === canonicalName(reference));
    const repository = repositoryName(reference);
    return records.filter(
      (record) =>
        (record.rootDigest === digest || record.manifestDigest === digest) &&
        repositoryName(parseReference(record.reference)) === repository,
    );
  } catch {
    return [];
  }
}

function idsOf(record: ImageRecord): string[] {
  return [record.manifestDigest, record.configDigest, record.rootDigest].map(
    (digest) => digestParts(digest).hex,
  );
}
