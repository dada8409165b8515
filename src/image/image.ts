import type { Compression } from "../tar/compression.ts";

export type { Compression } from "../tar/compression.ts";

/** "sha256:" and 64 lower-case hex digits (sha512 likewise). Minted by `parseDigest` only. */
export type Digest = string & { readonly digest: unique symbol };

/** The platform an image variant is for, in OCI's words: `linux/amd64`, `linux/arm64/v8`. */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}

/** The part of an image's configuration that a machine honours; the OCI image spec's `config` object. */
export interface ImageConfig {
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly workingDir: string;
  /** "name", "uid", "name:group" ... as written in the image; resolved in the guest. "" is root. */
  readonly user: string;
  readonly stopSignal: string;
  readonly volumes: readonly string[];
  readonly exposedPorts: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

/** One layer that lies verified in the content store. */
export interface LocalLayer {
  /** Of the blob as stored. */
  readonly digest: Digest;
  /** Of the uncompressed tar. */
  readonly diffId: Digest;
  readonly compression: Compression;
  /** Bytes of the blob as stored. */
  readonly size: number;
  /** Path of the blob file. */
  readonly path: string;
}

/** An image whose blobs are all in the content store. */
export interface LocalImage {
  /** Canonical name, `docker.io/library/alpine:latest`, or what names it best when it came from an archive. */
  readonly reference: string;
  /** Of the platform's manifest; identifies the image. */
  readonly manifestDigest: Digest;
  readonly configDigest: Digest;
  readonly platform: Platform;
  readonly config: ImageConfig;
  /** Bottom first. */
  readonly layers: readonly LocalLayer[];
}

/** When a registry is asked: only for what is missing, every time, or not at all. */
export type PullPolicy = "missing" | "always" | "never";
