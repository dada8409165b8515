import type { ProgressListener } from "../../progress/progress.ts";
import type { Digest, ImageConfig, LocalImage, LocalLayer, PullPolicy } from "../image.ts";

/** How registries are reached. */
export interface RegistryOptions {
  /** Registries (`host` or `host:port`) that may be spoken to without TLS. Loopback always may. */
  readonly insecure?: readonly string[];
  /** Per registry, others that are asked first: `{"docker.io": ["mirror.example:5000"]}`. */
  readonly mirrors?: Readonly<Record<string, readonly string[]>>;
}

export interface PullOptions extends RegistryOptions {
  /** As `--platform` takes it; the host's when absent. */
  readonly platform?: string;
  /** Default "missing". */
  readonly policy?: PullPolicy;
  /** Read and check every blob of a cached image, and fetch the damaged ones again. Default false. */
  readonly verify?: boolean;
  readonly onProgress?: ProgressListener;
  readonly signal?: AbortSignal;
}

/** For `import`: the configuration that the root file system's archive does not carry. */
export interface ImportOptions {
  readonly platform?: string;
  readonly config?: Partial<ImageConfig>;
  readonly onProgress?: ProgressListener;
  readonly signal?: AbortSignal;
}

/** One line of `images`. */
export interface ImageSummary {
  /** Canonical name. */
  readonly reference: string;
  readonly manifestDigest: Digest;
  /** `linux/amd64` */
  readonly platform: string;
  /** Bytes of all blobs as stored; blobs shared with other images are counted in each. */
  readonly size: number;
  /** When it was last pulled or imported, milliseconds since 1970. */
  readonly pulledAtMs: number;
}

/** What `inspect` shows. */
export interface ImageDetails extends ImageSummary {
  /** Every name of this image. */
  readonly names: readonly string[];
  /** What the name resolved to: the index, or the manifest itself. */
  readonly rootDigest: Digest;
  readonly configDigest: Digest;
  /** All blobs are here. When not, the next pull repairs the image. */
  readonly complete: boolean;
  /** Absent when incomplete, as are the layers. */
  readonly config?: ImageConfig;
  /** Bottom first. */
  readonly layers?: readonly LocalLayer[];
}

export interface PruneOptions {
  /** Also forget the images themselves, except those whose manifest digest is in `keep`. Default false. */
  readonly all?: boolean;
  readonly keep?: readonly Digest[];
  /** Name, without ".erofs", of the root file system made from an image; without it none is removed. */
  readonly rootfsKey?: (image: LocalImage) => string;
}

export interface PruneResult {
  /** Canonical names of forgotten images. */
  readonly images: readonly string[];
  readonly blobs: number;
  readonly rootfs: number;
  /** Bytes given back to the disk. */
  readonly bytes: number;
}
