import type { ProgressListener } from "../../progress/progress.ts";
import { shortDigest } from "../digest.ts";
import type { Descriptor } from "../manifest.ts";
import type { ImageProvider } from "./image-provider.ts";
import type { ContentStore } from "./store/content-store.ts";

export interface FetchLayersOptions {
  readonly provider: ImageProvider;
  readonly store: ContentStore;
  readonly signal: AbortSignal;
  readonly onProgress: ProgressListener;
}

/** Brings the layers that are missing into the store, some at a time. The first failure ends the others. */
export async function fetchLayers(layers: readonly Descriptor[], options: FetchLayersOptions): Promise<void> {
  const queue = [...new Map(layers.map((layer) => [layer.digest, layer])).values()];
  const failed = new AbortController();
  const signal = AbortSignal.any([options.signal, failed.signal]);
  let failure: { readonly error: unknown } | undefined;
  const work = async (): Promise<void> => {
    for (let layer = queue.shift(); layer !== undefined && failure === undefined; layer = queue.shift())
      try {
        await fetchLayer(layer, { ...options, signal });
      } catch (error) {
        // What the others fail with from here on is only the echo of this.
        failure ??= { error };
        failed.abort();
      }
  };
  await Promise.all(Array.from({ length: parallelLayers }, work));
  if (failure !== undefined) throw failure.error;
}

/** As many as Docker; more gain little and anger registries. */
const parallelLayers = 3;

async function fetchLayer(layer: Descriptor, options: FetchLayersOptions): Promise<void> {
  const { provider, store, signal, onProgress } = options;
  const id = shortDigest(layer.digest);
  const total = layer.size;
  if (store.has(layer.digest, layer.size)) {
    onProgress({ phase: "download", id, state: "cached", done: total, total });
    return;
  }
  const onLength = (done: number) => onProgress({ phase: "download", id, state: "active", done, total });
  onLength(0);
  await provider.blob(layer, { signal, onLength });
  onProgress({ phase: "download", id, state: "done", done: total, total });
}
