import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { parseDigest } from "../../src/image/digest.ts";
import type { LocalImage, LocalLayer } from "../../src/image/image.ts";
import { imageOf } from "../../src/rootfs/host/testing/local-layer.ts";
import type { Compression } from "../../src/tar/compression.ts";

/** Makes an image of layer archives with umoci, in an OCI layout called `layout` inside of `folder`. */
export function makeOciImage(folder: string, tars: readonly string[]): LocalImage {
  const layout = path.join(folder, "layout");
  execFileSync("umoci", ["init", "--layout", layout], { stdio: "pipe" });
  execFileSync("umoci", ["new", "--image", `${layout}:test`], { stdio: "pipe" });
  for (const tar of tars)
    execFileSync("umoci", ["raw", "add-layer", "--image", `${layout}:test`, tar], { stdio: "pipe" });
  return readOciImage(layout);
}

/** What umoci, whose result is the measure, makes of the image: the path of its root file system. */
export function unpackWithUmoci(folder: string): string {
  const bundle = path.join(folder, "bundle");
  execFileSync("umoci", ["unpack", "--image", `${path.join(folder, "layout")}:test`, bundle], {
    stdio: "pipe",
  });
  return path.join(bundle, "rootfs");
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/** Reads the only image of a layout, trusting it: our own image reader has tests of its own. */
export function readOciImage(layout: string): LocalImage {
  const blob = (digest: string): string => path.join(layout, "blobs", ...digest.split(":"));
  const json = (file: string): unknown => JSON.parse(fs.readFileSync(file, "utf8"));
  const index = json(path.join(layout, "index.json")) as { manifests: Descriptor[] };
  const manifestDigest = index.manifests[0]?.digest ?? "";
  const manifest = json(blob(manifestDigest)) as { config: Descriptor; layers: Descriptor[] };
  const config = json(blob(manifest.config.digest)) as { rootfs: { diff_ids: string[] } };
  const layers = manifest.layers.map(
    ({ digest, size, mediaType }, index): LocalLayer => ({
      digest: parseDigest(digest),
      diffId: parseDigest(config.rootfs.diff_ids[index] ?? ""),
      compression: compressionOf(mediaType),
      size,
      path: blob(digest),
    }),
  );
  return imageOf(...layers);
}

function compressionOf(mediaType: string): Compression {
  return mediaType.endsWith("+gzip") ? "gzip" : mediaType.endsWith("+zstd") ? "zstd" : "none";
}
