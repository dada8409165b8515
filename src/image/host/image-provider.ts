import type { Digest } from "../image.ts";
import type { Descriptor } from "../manifest.ts";
import type { Origin } from "../origin.ts";

/** The manifest or index that a name stands for. */
export interface RootDocument {
  readonly bytes: Uint8Array;
  readonly digest: Digest;
  /** As announced beside the document; "" when nothing was. */
  readonly mediaType: string;
}

/** Somewhere an image's parts can be had from: a registry, a folder, an archive. */
export interface ImageProvider {
  readonly origin: Origin;
  /** A manifest or index, not yet verified. */
  manifest(descriptor: Descriptor): Promise<Uint8Array>;
  /** Brings a blob into the content store, which verifies it. */
  blob(
    descriptor: Descriptor,
    options: { readonly signal: AbortSignal; readonly onLength: (length: number) => void },
  ): Promise<void>;
}
