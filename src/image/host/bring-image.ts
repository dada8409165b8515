import { SupermachineError } from "../../errors/supermachine-error.ts";
import type { ProgressListener } from "../../progress/progress.ts";
import type { LocalImage, Platform } from "../image.ts";
import { fetchLayers } from "./fetch-layers.ts";
import type { ImageProvider, RootDocument } from "./image-provider.ts";
import type { LocalImages } from "./local-images.ts";
import { aborted } from "./registry/retry.ts";
import { selectImage } from "./select-image.ts";
import type { ImageRecord } from "./store/image-index.ts";
import { Lease } from "./store/lease.ts";

export interface BringOptions {
  readonly images: LocalImages;
  readonly provider: ImageProvider;
  /** The name that the image gets. */
  readonly reference: string;
  readonly wanted: Platform;
  readonly onProgress: ProgressListener;
  readonly signal: AbortSignal;
}

/** Gets every part of an image into the store, then gives it its name. */
export async function bringImage(root: RootDocument, options: BringOptions): Promise<LocalImage> {
  await using lease = new Lease(options.images.store.home);
  // A collector may hold a blob for a moment before it sees the lease; then the blob is just fetched again.
  for (let round = 0; round < 3; round++) {
    const image = await bringOnce(root, options, lease);
    if (image !== undefined) return image;
  }
  throw new SupermachineError(
    "DIGEST_MISMATCH",
    `Parts of image '${options.reference}' vanish while it is pulled`,
    { hint: "Something else changes the folder of images; find it, then pull again" },
  );
}

async function bringOnce(
  root: RootDocument,
  options: BringOptions,
  lease: Lease,
): Promise<LocalImage | undefined> {
  const { images, provider, reference, wanted, onProgress, signal } = options;
  const { store, index } = images;
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
  await index.put(record);
  return images.open(record, { verify: false });
}
