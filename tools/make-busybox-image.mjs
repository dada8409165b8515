#!/usr/bin/env node
// Makes an OCI layout (image-spec image-layout.md) with one layer: Debian's static busybox and its applets.
// usage: tools/make-busybox-image.mjs DIRECTORY
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const layout = process.argv[2];
if (layout === undefined) {
  console.error("usage: make-busybox-image.mjs DIRECTORY");
  process.exit(2);
}
const architecture = { x64: "amd64", arm64: "arm64" }[process.arch];
const blobs = join(layout, "blobs", "sha256");
rmSync(layout, { recursive: true, force: true });
mkdirSync(blobs, { recursive: true });

const tar = layerTar();
const layer = addBlob(gzipSync(tar), "application/vnd.oci.image.layer.v1.tar+gzip");
const config = addBlob(
  json({
    architecture,
    os: "linux",
    config: { Env: ["PATH=/bin:/sbin:/usr/bin:/usr/sbin"], Cmd: ["sh"] },
    rootfs: { type: "layers", diff_ids: [digest(tar)] },
  }),
  "application/vnd.oci.image.config.v1+json",
);
const manifestType = "application/vnd.oci.image.manifest.v1+json";
const manifest = addBlob(
  json({ schemaVersion: 2, mediaType: manifestType, config, layers: [layer] }),
  manifestType,
);
const annotations = { "org.opencontainers.image.ref.name": "latest" };
const platform = { architecture, os: "linux" };
writeFileSync(
  join(layout, "index.json"),
  json({ schemaVersion: 2, manifests: [{ ...manifest, platform, annotations }] }),
);
writeFileSync(join(layout, "oci-layout"), json({ imageLayoutVersion: "1.0.0" }));

function layerTar() {
  const root = mkdtempSync(join(tmpdir(), "busybox-"));
  try {
    for (const folder of ["bin", "etc", "root", "tmp"]) mkdirSync(join(root, folder));
    const busybox = join(root, "bin", "busybox");
    copyFileSync("/bin/busybox", busybox);
    const applets = execFileSync(busybox, ["--list"], { encoding: "utf8" }).trim().split("\n");
    for (const applet of applets) if (applet !== "busybox") symlinkSync("busybox", join(root, "bin", applet));
    writeFileSync(join(root, "etc", "passwd"), "root:x:0:0:root:/root:/bin/sh\n");
    writeFileSync(join(root, "etc", "group"), "root:x:0:\n");
    const options = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"];
    return execFileSync("tar", [...options, "-C", root, "-cf", "-", "."], { maxBuffer: 64 << 20 });
  } finally {
    rmSync(root, { recursive: true });
  }
}

function addBlob(bytes, mediaType) {
  writeFileSync(join(blobs, digest(bytes).slice("sha256:".length)), bytes);
  return { mediaType, digest: digest(bytes), size: bytes.length };
}

function digest(bytes) {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

function json(value) {
  return Buffer.from(JSON.stringify(value));
}
