import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import { decompressFile } from "../../tar/host/decompress.ts";
import { blockBytes, hasValidChecksum, isZeroBlock } from "../../tar/tar-header.ts";
import type { Digest, ImageConfig, Platform } from "../image.ts";
import { layerMediaType, ociConfig, ociManifest } from "../media-types.ts";
import { invalidDocument, type Origin } from "../origin.ts";
import type { ArchiveFile } from "./archives/archive-file.ts";
import type { ImageProvider, RootDocument } from "./image-provider.ts";
import { aborted } from "./registry/retry.ts";
import { type ContentStore, digestOf } from "./store/content-store.ts";

/** Makes an image of one layer from the tar file of a root file system. The same input makes the same image. */
export async function imageFromRootfs(
  archive: ArchiveFile,
  options: {
    readonly store: ContentStore;
    readonly platform: Platform;
    readonly config: Partial<ImageConfig>;
    readonly signal: AbortSignal;
  },
): Promise<{ root: RootDocument; provider: ImageProvider }> {
  const { store, platform, signal } = options;
  const origin: Origin = { invalid: "ARCHIVE_INVALID", name: archive.name };
  const { digest, diffId } = await digestsOf(archive, origin, signal);
  const config = encode({
    ...platform,
    config: toDocument(options.config),
    rootfs: { type: "layers", diff_ids: [diffId] },
    history: [{ created_by: "supermachine import" }],
  });
  const { size } = await stat(archive.path);
  const bytes = encode({
    schemaVersion: 2,
    mediaType: ociManifest,
    config: { mediaType: ociConfig, digest: digestOf(config), size: config.length },
    layers: [{ mediaType: layerMediaType(archive.compression), digest, size }],
  });
  const provider: ImageProvider = {
    origin,
    manifest: () => Promise.resolve(bytes),
    async blob(descriptor, { onLength }) {
      const isLayer = descriptor.digest === digest;
      const pieces = isLayer ? createReadStream(archive.path, { highWaterMark: 1 << 20 }) : [config];
      await store.ingest(pieces, descriptor);
      onLength(descriptor.size);
    },
  };
  return { root: { bytes, digest: digestOf(bytes), mediaType: ociManifest }, provider };
}

async function digestsOf(
  archive: ArchiveFile,
  origin: Origin,
  signal: AbortSignal,
): Promise<{ digest: Digest; diffId: Digest }> {
  const stored = createHash("sha256");
  for await (const chunk of createReadStream(archive.path, { highWaterMark: 1 << 20 })) {
    if (signal.aborted) throw aborted(signal);
    stored.update(chunk);
  }
  const plain = createHash("sha256");
  const head = Buffer.alloc(blockBytes);
  let length = 0;
  await decompressFile(archive.path, {
    compression: archive.compression,
    onBytes: (bytes) => {
      if (signal.aborted) throw aborted(signal);
      if (length < blockBytes) head.set(bytes.subarray(0, blockBytes - length), length);
      length += bytes.length;
      plain.update(bytes);
    },
  }).catch((error: unknown) => {
    const isDamaged = error instanceof SupermachineError && error.code === "ARCHIVE_INVALID";
    throw isDamaged ? invalidDocument(origin, "its compressed data is damaged", error) : error;
  });
  if (length < blockBytes || !(hasValidChecksum(head) || isZeroBlock(head)))
    throw invalidDocument(origin, "it is not a tar file");
  return {
    digest: `sha256:${stored.digest("hex")}` as Digest,
    diffId: `sha256:${plain.digest("hex")}` as Digest,
  };
}

/** The names of the OCI image spec; what is absent or empty is left out. */
function toDocument(config: Partial<ImageConfig>): Record<string, unknown> {
  const {
    env = [],
    entrypoint = [],
    cmd = [],
    workingDir,
    user,
    stopSignal,
    volumes = [],
    exposedPorts = [],
  } = config;
  const set = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, {}]));
  const entries: [string, unknown, boolean][] = [
    ["User", user, Boolean(user)],
    ["ExposedPorts", set(exposedPorts), exposedPorts.length > 0],
    ["Env", env, env.length > 0],
    ["Entrypoint", entrypoint, entrypoint.length > 0],
    ["Cmd", cmd, cmd.length > 0],
    ["Volumes", set(volumes), volumes.length > 0],
    ["WorkingDir", workingDir, Boolean(workingDir)],
    ["Labels", config.labels, config.labels !== undefined],
    ["StopSignal", stopSignal, Boolean(stopSignal)],
  ];
  return Object.fromEntries(entries.filter(([, , present]) => present).map(([name, value]) => [name, value]));
}

function encode(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}
