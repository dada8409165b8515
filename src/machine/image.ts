import type { Readable } from "node:stream";
import type { ImageConfig, PullPolicy } from "../image/image.ts";
import type { ProgressListener } from "../progress/progress.ts";
import type { LookupOptions } from "./types.ts";

/** An image in the local store. */
export interface ImageInfo {
  /** Canonical name: "docker.io/library/alpine:latest". */
  readonly reference: string;
  /** Of the platform's manifest; identifies the image. */
  readonly digest: string;
  /** "linux/amd64" */
  readonly platform: string;
  /** Bytes of all layers as stored. */
  readonly size: number;
  /** Milliseconds since 1970, when it was pulled or imported. */
  readonly pulledAt: number;
}

/** An image with its configuration. */
export interface ImageDetails extends ImageInfo {
  readonly config: ImageConfig;
  readonly layers: readonly { readonly digest: string; readonly diffId: string; readonly size: number }[];
}

/** Options of `Image.pull`. */
export interface PullOptions extends LookupOptions {
  /** "linux/arm64" or the like. Default: the host's. */
  platform?: string | undefined;
  /** Default "always": the registry is asked, and only what is missing is fetched. */
  policy?: PullPolicy | undefined;
  onProgress?: ProgressListener | undefined;
  signal?: AbortSignal | undefined;
}

/** Options of `Image.import`. */
export interface ImportOptions extends LookupOptions {
  /** Path of a tar file, or its bytes. gzip and zstd are recognised. */
  source: string | Readable;
  /** Name that the image gets. */
  name: string;
  platform?: string | undefined;
  onProgress?: ProgressListener | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * The local store of images.
 *
 * @example
 * ```ts
 * import { Image } from "supermachine";
 *
 * for (const { reference, size } of await Image.list()) console.log(reference, size);
 * ```
 */
export const Image: ImageStoreFacade = {
  pull: async () => {
    throw new Error("to come");
  },
  list: async () => [],
  inspect: async () => {
    throw new Error("to come");
  },
  remove: async () => {
    throw new Error("to come");
  },
  prune: async () => ({ freedBytes: 0 }),
  import: async () => {
    throw new Error("to come");
  },
};

/** What `Image` can do. */
export interface ImageStoreFacade {
  /** Makes an image available locally, from a registry, an OCI layout or an archive. */
  pull(source: string, options?: PullOptions): Promise<ImageDetails>;
  list(options?: LookupOptions): Promise<ImageInfo[]>;
  inspect(reference: string, options?: LookupOptions): Promise<ImageDetails>;
  /** @throws SupermachineError `IMAGE_NOT_FOUND`, `IMAGE_IN_USE` unless `force`. */
  remove(reference: string, options?: LookupOptions & { force?: boolean | undefined }): Promise<void>;
  /** Deletes what no image and no machine uses: layers, root file systems, unfinished files. */
  prune(options?: LookupOptions): Promise<{ freedBytes: number }>;
  /** Makes an image of a root file system's tar. */
  import(options: ImportOptions): Promise<ImageDetails>;
}
