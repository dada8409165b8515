import type { ProgressListener } from "../../progress/progress.ts";
import type { Digest, ImageConfig, LocalImage, LocalLayer, PullPolicy } from "../image.ts";

/** How registries are reached. Default: what `registries.json` in the home folder says. */
export interface RegistryOptions {
  /** Registries (`host` or `host:port`) that may be spoken to without TLS. Loopback always may. */
  readonly insecure?: readonly string[] | undefined;
  /** Per registry, others that are asked first: `{"docker.io": ["mirror.example:5000"]}`. */
  readonly mirrors?: Readonly<Record<string, readonly string[]>> | undefined;
}

export interface PullOptions extends RegistryOptions {
  /** As `--platform` takes it; the host's when absent. */
  readonly platform?: string | undefined;
  /** Default "missing". */
  readonly policy?: PullPolicy | undefined;
  /** Read and check every blob of a cached image, and fetch the damaged ones again. Default false. */
  readonly verify?: boolean | undefined;
  readonly onProgress?: ProgressListener | undefined;
  readonly signal?: AbortSignal | undefined;
  /** What the source "-" reads; the process's standard input when absent. */
  readonly stdin?: AsyncIterable<Uint8Array> | undefined;
}

/** For `import`: the configuration that the root file system's archive does not carry. */
export interface ImportOptions {
  readonly platform?: string | undefined;
  readonly config?: Partial<ImageConfig> | undefined;
  readonly onProgress?: ProgressListener | undefined;
  readonly signal?: AbortSignal | undefined;
  /** What the path "-" reads; the process's standard input when absent. */
  readonly stdin?: AsyncIterable<Uint8Array> | undefined;
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
  readonly all?: boolean | undefined;
  readonly keep?: readonly Digest[] | undefined;
  /** Name, without ".erofs", of the root file system made from an image; without it none is removed. */
  readonly rootfsKey?: ((image: LocalImage) => string) | undefined;
  /** More such names to keep: of root file systems that something else than an image needs. */
  readonly rootfsInUse?: (() => Promise<readonly string[]>) | undefined;
}

export interface PruneResult {
  /** Canonical names of forgotten images. */
  readonly images: readonly string[];
  readonly blobs: number;
  readonly rootfs: number;
  /** Bytes given back to the disk. */
  readonly bytes: number;
}
