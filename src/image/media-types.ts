// Media types of the OCI image spec ("OCI Image Media Types") and of Docker's image manifest version 2, schema 2.
import { SupermachineError } from "../errors/supermachine-error.ts";
import type { Compression } from "./image.ts";

export const ociIndex = "application/vnd.oci.image.index.v1+json";
export const ociManifest = "application/vnd.oci.image.manifest.v1+json";
export const ociConfig = "application/vnd.oci.image.config.v1+json";
export const ociLayer = "application/vnd.oci.image.layer.v1.tar";
export const dockerList = "application/vnd.docker.distribution.manifest.list.v2+json";
export const dockerManifest = "application/vnd.docker.distribution.manifest.v2+json";
export const dockerConfig = "application/vnd.docker.container.image.v1+json";

/** Sent as Accept: what we can use, OCI first. */
export const acceptedManifests: readonly string[] = [ociIndex, ociManifest, dockerList, dockerManifest];

export function isIndexType(mediaType: string): boolean {
  return mediaType === ociIndex || mediaType === dockerList;
}

export function isManifestType(mediaType: string): boolean {
  return mediaType === ociManifest || mediaType === dockerManifest;
}

/** Schema 1 in both its spellings; Docker stopped serving it years ago. */
export function isSchema1Type(mediaType: string): boolean {
  return /^application\/vnd\.docker\.distribution\.manifest\.v1\+(json|prettyjws)$/.test(mediaType);
}

/** The media type of a tar layer with this compression. */
export function layerMediaType(compression: Compression): string {
  return compression === "none" ? ociLayer : `${ociLayer}+${compression}`;
}

/**
 * How a layer of this media type is compressed.
 *
 * @throws SupermachineError `UNSUPPORTED_MEDIA` for layers that are encrypted, not distributable, or not tar files.
 */
export function layerCompression(mediaType: string): Compression {
  if (mediaType.endsWith("+encrypted"))
    throw unsupported("An encrypted layer cannot be read", "Use an image that is not encrypted");
  if (/nondistributable|foreign/.test(mediaType))
    throw unsupported(
      "A layer that may not be distributed cannot be fetched",
      "Such layers are those of Windows base images; use a Linux image",
    );
  const compression = compressions.get(mediaType);
  if (compression !== undefined) return compression;
  throw unsupported(
    `A layer of media type '${mediaType.slice(0, 100)}' cannot be read`,
    "Layers are tar files, plain or compressed by gzip or zstd; this may not be a container image",
  );
}

const compressions: ReadonlyMap<string, Compression> = new Map<string, Compression>([
  [ociLayer, "none"],
  [`${ociLayer}+gzip`, "gzip"],
  [`${ociLayer}+zstd`, "zstd"],
  ["application/vnd.docker.image.rootfs.diff.tar", "none"],
  ["application/vnd.docker.image.rootfs.diff.tar.gzip", "gzip"],
  ["application/vnd.docker.image.rootfs.diff.tar.zstd", "zstd"],
]);

function unsupported(message: string, hint: string): SupermachineError {
  return new SupermachineError("UNSUPPORTED_MEDIA", message, { hint });
}
