// OCI image spec: "Image Layout". https://github.com/opencontainers/image-spec/blob/main/image-layout.md
import { digestParts } from "../../digest.ts";
import type { Digest } from "../../image.ts";
import { maximumManifestLength } from "../../limits.ts";
import { type Descriptor, parseManifest } from "../../manifest.ts";
import { ociIndex } from "../../media-types.ts";
import { invalidDocument } from "../../origin.ts";
import type { ImageProvider, RootDocument } from "../image-provider.ts";
import { type ContentStore, digestOf } from "../store/content-store.ts";
import { asReference, localReference, noSuchImage, severalImages } from "./archive-names.ts";
import type { ImageFiles } from "./image-files.ts";
import type { OpenedArchive } from "./opened-archive.ts";
import { storeFile } from "./store-file.ts";

/** Finds an image in a layout: the one called `name`, or the only one. */
export function openOciLayout(
  files: ImageFiles,
  options: { readonly name: string | undefined; readonly store: ContentStore },
): OpenedArchive {
  const { origin } = files;
  const bytes = files.read("index.json", maximumManifestLength);
  if (bytes === undefined) throw invalidDocument(origin, "it has no index.json, so it is not in OCI layout");
  const index = parseManifest(bytes, { origin, mediaType: ociIndex });
  if (index.kind !== "index") throw invalidDocument(origin, "its index.json is no index");
  const chosen = choose(index.manifests, files, options.name);
  const root = readRoot(files, chosen);
  return { root, provider: provide(files, options.store), reference: referenceOf(files, chosen[0]) };
}

/** Names as containers/image, umoci and Docker write them. */
const refName = "org.opencontainers.image.ref.name";
const fullName = "io.containerd.image.name";

/** The entries of one image: several when there is one per platform. */
function choose(
  entries: readonly Descriptor[],
  files: ImageFiles,
  name: string | undefined,
): readonly Descriptor[] {
  const archive = files.origin.name;
  if (entries.length === 0) throw invalidDocument(files.origin, "it holds no image");
  const names = [...new Set(entries.flatMap(namesOf))];
  if (name !== undefined) {
    const found = entries.filter((entry) => isCalled(entry, name));
    if (found.length === 0) throw noSuchImage(archive, name, names);
    return found;
  }
  const [first] = entries;
  const isOne = entries.every((entry) => label(entry) === (first && label(first)));
  if (!isOne) throw severalImages(archive, names);
  return entries;
}

function readRoot(files: ImageFiles, entries: readonly Descriptor[]): RootDocument {
  const [entry] = entries;
  if (entries.length > 1 || entry === undefined) {
    const text = JSON.stringify({ schemaVersion: 2, mediaType: ociIndex, manifests: entries });
    const bytes = new TextEncoder().encode(text);
    return { bytes, digest: digestOf(bytes), mediaType: ociIndex };
  }
  const { digest, mediaType } = entry;
  return { bytes: readManifest(files, entry), digest, mediaType };
}

function provide(files: ImageFiles, store: ContentStore): ImageProvider {
  return {
    origin: files.origin,
    manifest: (descriptor) => Promise.resolve(readManifest(files, descriptor)),
    async blob(descriptor, options) {
      const path = blobPath(descriptor.digest);
      if (files.size(path) === undefined) throw missing(files, path);
      await storeFile(files.stream(path), { ...options, store, expected: descriptor });
    },
  };
}

function readManifest(files: ImageFiles, descriptor: Descriptor): Uint8Array {
  const path = blobPath(descriptor.digest);
  const bytes = files.read(path, maximumManifestLength);
  if (bytes === undefined) throw missing(files, path);
  return bytes;
}

function missing(files: ImageFiles, path: string): Error {
  return invalidDocument(files.origin, `'${path}' is missing`);
}

function blobPath(digest: Digest): string {
  const { algorithm, hex } = digestParts(digest);
  return `blobs/${algorithm}/${hex}`;
}

function namesOf(entry: Descriptor): string[] {
  const name = label(entry);
  return name === undefined ? [] : [name];
}

function label(entry: Descriptor): string | undefined {
  return entry.annotations[fullName] ?? entry.annotations[refName];
}

function isCalled(entry: Descriptor, name: string): boolean {
  const full = asReference(name);
  return [entry.annotations[refName], entry.annotations[fullName]].some(
    (known) => known !== undefined && (known === name || (full !== undefined && asReference(known) === full)),
  );
}

/** A name without slash or colon is a tag only; the folder's own name stands before it then. */
function referenceOf(files: ImageFiles, entry: Descriptor | undefined): string {
  const name = entry && label(entry);
  const full = name !== undefined && /[/:]/.test(name) ? asReference(name) : undefined;
  return full ?? localReference(files.origin.name, name);
}
