import { SupermachineError } from "../../errors/supermachine-error.ts";
import { type ParsedConfig, parseImageConfig } from "../config.ts";
import type { Digest, Platform } from "../image.ts";
import { maximumIndexDepth, maximumManifestLength } from "../limits.ts";
import { type Descriptor, type ImageManifest, parseManifest } from "../manifest.ts";
import { invalidDocument } from "../origin.ts";
import { platformMatches, platformMismatch, platformsOf, rankByPlatform } from "../platform.ts";
import type { ImageProvider, RootDocument } from "./image-provider.ts";
import { type ContentStore, checkBlob } from "./store/content-store.ts";
import type { Lease } from "./store/lease.ts";

/** One platform's image, its documents stored and read; layers may still be missing. */
export interface SelectedImage {
  readonly manifestDigest: Digest;
  readonly manifest: ImageManifest;
  readonly config: ParsedConfig;
  /** What the image needs besides its layers: indexes on the way, the manifest, the configuration. */
  readonly documents: readonly { readonly digest: Digest; readonly size: number }[];
}

export interface SelectContext {
  readonly provider: ImageProvider;
  readonly store: ContentStore;
  readonly lease: Lease;
  readonly wanted: Platform;
  readonly signal: AbortSignal;
}

/**
 * Follows indexes, which may be nested, to the image for the wanted platform.
 *
 * @throws SupermachineError `PLATFORM_MISMATCH`, which lists what there is
 */
export async function selectImage(root: RootDocument, context: SelectContext): Promise<SelectedImage> {
  const available: Platform[] = [];
  const found = await descend({ ...root, trail: [], depth: 0, trustIndex: false }, { ...context, available });
  if (found === undefined) throw platformMismatch(context.provider.origin.name, context.wanted, available);
  return found;
}

interface Step extends RootDocument {
  /** The indexes above this document. */
  readonly trail: SelectedImage["documents"];
  readonly depth: number;
  /** An index has named the platform; else the image's configuration decides. */
  readonly trustIndex: boolean;
}

type Search = SelectContext & { readonly available: Platform[] };

async function descend(step: Step, search: Search): Promise<SelectedImage | undefined> {
  const { provider, store, lease, wanted, available } = search;
  const { bytes, digest, mediaType, depth } = step;
  const { origin } = provider;
  const document = parseManifest(bytes, { origin, mediaType });
  await lease.add([digest]);
  await store.write(bytes, { digest });
  const trail = [...step.trail, { digest, size: bytes.length }];
  if (document.kind === "manifest") return readConfig(document, { ...step, trail }, search);
  if (depth >= maximumIndexDepth) throw invalidDocument(origin, "its indexes are nested too deeply");
  available.push(...platformsOf(document.manifests));
  for (const entry of rankByPlatform(document.manifests, wanted)) {
    const next = await loadManifest(entry, search);
    const trustIndex = entry.platform !== undefined;
    const { digest, mediaType } = entry;
    const found = await descend(
      { bytes: next, digest, mediaType, trail, depth: depth + 1, trustIndex },
      search,
    );
    if (found !== undefined) return found;
  }
  return undefined;
}

async function loadManifest(entry: Descriptor, search: Search): Promise<Uint8Array> {
  const { provider, store, lease } = search;
  await lease.add([entry.digest]);
  const kept = store.read(entry.digest, maximumManifestLength);
  const bytes = kept ?? (await provider.manifest(entry));
  checkBlob({ digest: entry.digest, size: bytes.length }, entry);
  return bytes;
}

async function readConfig(
  manifest: ImageManifest,
  step: Step,
  search: Search,
): Promise<SelectedImage | undefined> {
  const { provider, store, lease, wanted, available, signal } = search;
  const { origin } = provider;
  const descriptor = manifest.config;
  if (descriptor.size > maximumManifestLength) throw invalidDocument(origin, "its configuration is too long");
  await lease.add([descriptor.digest]);
  let bytes = store.read(descriptor.digest, maximumManifestLength);
  if (bytes === undefined) {
    await store.remove(descriptor.digest);
    await provider.blob(descriptor, { signal, onLength: () => undefined });
    bytes = store.read(descriptor.digest, maximumManifestLength);
  }
  if (bytes === undefined)
    throw new SupermachineError("INTERNAL", "A configuration that was just stored cannot be read");
  const config = parseImageConfig(bytes, origin);
  if (!step.trustIndex && !platformMatches(config.platform, wanted)) {
    available.push(config.platform);
    return undefined;
  }
  if (config.diffIds.length !== manifest.layers.length)
    throw invalidDocument(
      origin,
      `its manifest has ${manifest.layers.length} layers but its configuration ${config.diffIds.length}`,
    );
  const documents = [...step.trail, { digest: descriptor.digest, size: descriptor.size }];
  return { manifestDigest: step.digest, manifest, config, documents };
}
