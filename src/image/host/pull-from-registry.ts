import type { Digest, LocalImage, Platform } from "../image.ts";
import { canonicalName, type ImageReference } from "../reference.ts";
import { bringImage } from "./bring-image.ts";
import type { PullOptions } from "./image-store-types.ts";
import type { LocalImages } from "./local-images.ts";
import { RegistryClient } from "./registry/registry-client.ts";
import { RegistryProvider } from "./registry/registry-provider.ts";
import { readRegistrySettings } from "./registry/registry-settings.ts";
import { defaultTimings, type Timings } from "./registry/timings.ts";

export interface RegistryPullOptions extends PullOptions {
  readonly images: LocalImages;
  readonly wanted: Platform;
  readonly environment: NodeJS.ProcessEnv;
  readonly timings: Partial<Timings>;
  /** Path of the user's `registries.json`. */
  readonly settings: string;
  /** What the reference stands for here, when all of it is here; then one HEAD tells whether that is still so. */
  readonly known: { readonly rootDigest: Digest; readonly image: LocalImage } | undefined;
}

/** Asks the registry what a reference stands for, and fetches what is missing. */
export async function pullFromRegistry(
  reference: ImageReference,
  options: RegistryPullOptions,
): Promise<LocalImage> {
  const { images, wanted, known, environment, onProgress = () => undefined } = options;
  const settings = await readRegistrySettings(options.settings);
  const { insecure = settings.insecure, mirrors = settings.mirrors } = options;
  const signal = options.signal ?? new AbortController().signal;
  const timings = { ...defaultTimings, ...options.timings };
  await using client = new RegistryClient(reference, { insecure, mirrors, timings, environment, signal });
  onProgress({ phase: "resolve", id: "", state: "active" });
  const tag = reference.tag ?? "latest";
  if (known !== undefined && (await client.head(tag)) === known.rootDigest) {
    onProgress({ phase: "resolve", id: "", state: "cached" });
    return known.image;
  }
  const root = await client.manifest(reference.digest ?? tag);
  onProgress({ phase: "resolve", id: "", state: "done" });
  const provider = new RegistryProvider(reference, { client, store: images.store });
  const name = canonicalName(reference);
  return await bringImage(root, { images, provider, reference: name, wanted, onProgress, signal });
}
