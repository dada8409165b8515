import type { LocalImage, Platform } from "../image.ts";
import { canonicalName, type ImageReference } from "../reference.ts";
import { openArchiveFile } from "./archives/archive-file.ts";
import { type ArchiveSource, withArchive } from "./archives/open-archive.ts";
import { bringImage } from "./bring-image.ts";
import type { ImportOptions, PullOptions } from "./image-store-types.ts";
import { imageFromRootfs } from "./import-rootfs.ts";
import type { LocalImages } from "./local-images.ts";

interface Target {
  readonly images: LocalImages;
  readonly wanted: Platform;
}

/** Copies what is missing of an image in a folder, an archive or standard input. */
export async function pullFromArchive(
  source: ArchiveSource,
  options: PullOptions & Target,
): Promise<LocalImage> {
  const { images, wanted, stdin, onProgress = () => undefined } = options;
  const { store } = images;
  const signal = options.signal ?? new AbortController().signal;
  onProgress({ phase: "resolve", id: "", state: "active" });
  return withArchive(source, { home: store.home, store, stdin, signal }, ({ root, provider, reference }) => {
    onProgress({ phase: "resolve", id: "", state: "done" });
    return bringImage(root, { images, provider, reference, wanted, onProgress, signal });
  });
}

/** Makes an image from the tar file of a root file system. */
export async function importArchive(
  path: string,
  reference: ImageReference,
  options: ImportOptions & Target,
): Promise<LocalImage> {
  const { images, wanted, stdin, config = {}, onProgress = () => undefined } = options;
  const { store } = images;
  const signal = options.signal ?? new AbortController().signal;
  using archive = await openArchiveFile(path, { home: store.home, stdin, signal });
  const made = await imageFromRootfs(archive, { store, platform: wanted, config, signal });
  const { root, provider } = made;
  const name = canonicalName(reference);
  return await bringImage(root, { images, provider, reference: name, wanted, onProgress, signal });
}
