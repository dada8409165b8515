import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { parseDigest } from "../../../image/digest.ts";
import type { LocalImage, LocalLayer } from "../../../image/image.ts";
import type { Compression } from "../../../tar/compression.ts";
import { zstdOf } from "../../../tar/testing/zstd-frames.ts";

/** Stores a tar in `folder` as a layer of an image. */
export function storeLayer(folder: string, tar: Uint8Array, compression: Compression = "none"): LocalLayer {
  const stored = { none: () => tar, gzip: () => gzipSync(tar), zstd: () => zstdOf(tar) }[compression]();
  return storeBlob(folder, stored, { compression, diffId: digestOf(tar) });
}

/** Stores bytes as they are, whatever they claim to be. */
export function storeBlob(
  folder: string,
  stored: Uint8Array,
  { compression, diffId }: { compression: Compression; diffId: string },
): LocalLayer {
  const digest = parseDigest(digestOf(stored));
  const path = join(folder, digest.replace(":", "-"));
  writeFileSync(path, stored);
  return { digest, diffId: parseDigest(diffId), compression, size: stored.length, path };
}

/** An image of which only the layers matter. */
export function imageOf(...layers: readonly LocalLayer[]): LocalImage {
  const none = parseDigest(digestOf(new Uint8Array(0)));
  return {
    reference: "test",
    manifestDigest: none,
    configDigest: none,
    platform: { os: "linux", architecture: "amd64" },
    config: {
      env: [],
      entrypoint: [],
      cmd: [],
      workingDir: "",
      user: "",
      stopSignal: "",
      volumes: [],
      exposedPorts: [],
      labels: {},
    },
    layers,
  };
}

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}
