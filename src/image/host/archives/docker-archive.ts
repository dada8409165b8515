// What `docker save` writes: manifest.json lists images, each with its configuration and its layers by path.
import * as v from "valibot";
import type { Compression } from "../../../tar/compression.ts";
import { parseImageConfig } from "../../config.ts";
import { isDigest } from "../../digest.ts";
import type { Digest } from "../../image.ts";
import { parseJsonDocument } from "../../json-document.ts";
import { maximumLayers, maximumManifestLength } from "../../limits.ts";
import { layerMediaType, ociConfig, ociManifest } from "../../media-types.ts";
import { invalidDocument } from "../../origin.ts";
import { type ContentStore, digestOf, type StoredBlob } from "../store/content-store.ts";
import { asReference, localReference, noSuchImage, severalImages } from "./archive-names.ts";
import type { ImageFiles } from "./image-files.ts";
import type { OpenedArchive } from "./opened-archive.ts";
import { storeFile } from "./store-file.ts";

/**
 * Finds an image in a Docker archive: the one called `name`, or the only one. Such archives have no manifest in OCI's
 * sense, so one is made, always the same for the same content.
 */
export async function openDockerArchive(
  files: ImageFiles,
  options: { readonly name: string | undefined; readonly store: ContentStore; readonly signal: AbortSignal },
): Promise<OpenedArchive> {
  const { origin } = files;
  const list = files.read("manifest.json", maximumManifestLength);
  if (list === undefined)
    throw invalidDocument(origin, "it has no manifest.json, so `docker save` has not made it");
  const images = parseJsonDocument(list, listSchema, { origin, what: "its manifest.json" });
  const image = choose(images, files, options.name);
  const config = files.read(image.Config, maximumManifestLength);
  if (config === undefined) throw invalidDocument(origin, `entry '${image.Config.slice(0, 200)}' is missing`);
  const { diffIds } = parseImageConfig(config, origin);
  const layers: Layer[] = [];
  for (const [at, path] of image.Layers.entries())
    layers.push(await describeLayer(path, { ...options, files, diffId: diffIds[at] }));
  return {
    ...assemble(files, { config, layers, store: options.store }),
    reference: referenceOf(image, files, options.name),
  };
}

const path = v.pipe(v.string(), v.minLength(1), v.maxLength(4096));
const listSchema = v.pipe(
  v.array(
    v.object({
      Config: path,
      RepoTags: v.nullish(v.pipe(v.array(v.string()), v.maxLength(1000))),
      Layers: v.pipe(v.array(path), v.maxLength(maximumLayers)),
    }),
  ),
  v.minLength(1),
  v.maxLength(1000),
);
type ListedImage = v.InferOutput<typeof listSchema>[number];

interface Layer extends StoredBlob {
  readonly path: string;
  readonly compression: Compression;
}

function choose(images: readonly ListedImage[], files: ImageFiles, name: string | undefined): ListedImage {
  const names = images.flatMap(({ RepoTags }) => RepoTags ?? []);
  const full = name === undefined ? undefined : asReference(name);
  const [found, another] =
    name === undefined
      ? images
      : images.filter(({ RepoTags }) => RepoTags?.some((tag) => tag === name || asReference(tag) === full));
  if (found === undefined) throw noSuchImage(files.origin.name, name ?? "", names);
  if (another !== undefined && name === undefined) throw severalImages(files.origin.name, names);
  return found;
}

/**
 * Digest and length of a layer. A plain tar's digest is its diff id, and newer archives store blobs by digest; both
 * are checked when the layer is stored. Only for others must the whole layer be read here, and is stored at once.
 */
async function describeLayer(
  path: string,
  context: {
    readonly files: ImageFiles;
    readonly store: ContentStore;
    readonly diffId: Digest | undefined;
    readonly signal: AbortSignal;
  },
): Promise<Layer> {
  const { files, store, diffId, signal } = context;
  const size = files.size(path);
  if (size === undefined) throw invalidDocument(files.origin, `entry '${path.slice(0, 200)}' is missing`);
  const compression = compressionOf(files, path);
  const named = path.replace(/^(?:\.\/)?blobs\/(sha256|sha512)\//, "$1:");
  if (isDigest(named)) return { path, size, compression, digest: named };
  if (compression === "none" && diffId !== undefined) return { path, size, compression, digest: diffId };
  const stored = await storeFile(files.stream(path), {
    store,
    expected: { size },
    signal,
    onLength: () => undefined,
  });
  return { ...stored, path, compression };
}

function compressionOf(files: ImageFiles, path: string): Compression {
  for (const piece of files.stream(path)) {
    const magic = Buffer.from(piece.subarray(0, 4)).toString("hex");
    return magic.startsWith("1f8b") ? "gzip" : magic === "28b52ffd" ? "zstd" : "none";
  }
  return "none";
}

function assemble(
  files: ImageFiles,
  parts: { readonly config: Uint8Array; readonly layers: readonly Layer[]; readonly store: ContentStore },
): Pick<OpenedArchive, "root" | "provider"> {
  const { config, layers, store } = parts;
  const configDigest = digestOf(config);
  const manifest = {
    schemaVersion: 2,
    mediaType: ociManifest,
    config: { mediaType: ociConfig, digest: configDigest, size: config.length },
    layers: layers.map(({ digest, size, compression }) => ({
      mediaType: layerMediaType(compression),
      digest,
      size,
    })),
  };
  const bytes = new TextEncoder().encode(JSON.stringify(manifest));
  const root = { bytes, digest: digestOf(bytes), mediaType: ociManifest };
  const provider: OpenedArchive["provider"] = {
    origin: files.origin,
    manifest: () => Promise.resolve(bytes),
    async blob(descriptor, options) {
      const { digest } = descriptor;
      const layer = layers.find((layer) => layer.digest === digest);
      const pieces = layer === undefined ? [config] : files.stream(layer.path);
      await storeFile(pieces, { ...options, store, expected: descriptor });
    },
  };
  return { root, provider };
}

function referenceOf(image: ListedImage, files: ImageFiles, name: string | undefined): string {
  const wanted = name === undefined ? undefined : asReference(name);
  const tags = (image.RepoTags ?? []).flatMap((tag) => asReference(tag) ?? []);
  return tags.find((tag) => tag === wanted) ?? tags[0] ?? localReference(files.origin.name, undefined);
}
