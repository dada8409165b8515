// OCI image spec: "OCI Image Manifest", "OCI Image Index", "OCI Content Descriptors"; Docker's manifest v2 schema 2.
import * as v from "valibot";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { digestSchema } from "./digest-schema.ts";
import type { Digest, Platform } from "./image.ts";
import { parseJsonDocument } from "./json-document.ts";
import { maximumIndexEntries, maximumLayerLength, maximumLayers } from "./limits.ts";
import {
  dockerConfig,
  isIndexType,
  isManifestType,
  isSchema1Type,
  layerCompression,
  ociConfig,
} from "./media-types.ts";
import { invalidDocument, type Origin } from "./origin.ts";

/** Points to a blob or manifest, and says what it must be. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly platform?: Platform;
  readonly annotations: Readonly<Record<string, string>>;
}

/** One image, for one platform. */
export interface ImageManifest {
  readonly kind: "manifest";
  readonly config: Descriptor;
  /** Bottom first. */
  readonly layers: readonly Descriptor[];
}

/** Several images, usually one per platform. */
export interface ImageIndex {
  readonly kind: "index";
  readonly manifests: readonly Descriptor[];
}

/**
 * Parses a manifest or an index, whichever it is.
 *
 * @throws SupermachineError the origin's code when malformed, `UNSUPPORTED_MEDIA` for schema 1, artifacts that are
 *   not images, and layers of a kind that cannot be read.
 */
export function parseManifest(
  bytes: Uint8Array,
  context: { readonly origin: Origin; readonly mediaType?: string | undefined },
): ImageManifest | ImageIndex {
  const { origin } = context;
  const what = "its manifest";
  const head = parseJsonDocument(bytes, headSchema, { origin, what });
  const declared = head.mediaType ?? context.mediaType ?? "";
  if (head.schemaVersion === 1 || isSchema1Type(declared)) throw schema1(origin);
  // A document with both shapes means different images to different readers; the spec forbids accepting it.
  const hasLayers = head.layers !== undefined || head.config !== undefined;
  if (hasLayers && head.manifests !== undefined)
    throw invalidDocument(origin, "its manifest is an index and an image at once");
  if (head.schemaVersion !== 2) throw invalidDocument(origin, `${what} has no schemaVersion 2`);
  if (isIndexType(declared) ? hasLayers : isManifestType(declared) && !hasLayers)
    throw invalidDocument(origin, `${what} does not fit its media type`);
  if (!hasLayers) return { kind: "index", ...parseJsonDocument(bytes, indexSchema, { origin, what }) };
  const manifest = parseJsonDocument(bytes, manifestSchema, { origin, what });
  refuseOtherArtifacts(manifest.config, origin);
  for (const layer of manifest.layers) layerCompression(layer.mediaType);
  return { kind: "manifest", ...manifest };
}

const text = v.pipe(v.string(), v.maxLength(64 * 1024));
const platformSchema = v.pipe(
  v.object({ os: v.optional(text, ""), architecture: v.optional(text, ""), variant: v.nullish(text) }),
  v.transform(
    ({ os, architecture, variant }): Platform => ({ os, architecture, ...(variant ? { variant } : {}) }),
  ),
);
const descriptorSchema = v.pipe(
  v.object({
    mediaType: text,
    digest: digestSchema,
    size: v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(maximumLayerLength)),
    platform: v.nullish(platformSchema),
    annotations: v.nullish(v.record(v.string(), text)),
  }),
  v.transform(
    ({ mediaType, digest, size, platform, annotations }): Descriptor => ({
      mediaType,
      digest,
      size,
      ...(platform ? { platform } : {}),
      annotations: annotations ?? {},
    }),
  ),
);
const headSchema = v.object({
  schemaVersion: v.optional(v.number()),
  mediaType: v.optional(text),
  config: v.optional(v.unknown()),
  layers: v.optional(v.unknown()),
  manifests: v.optional(v.unknown()),
});
const manifestSchema = v.object({
  config: descriptorSchema,
  layers: v.pipe(v.array(descriptorSchema), v.maxLength(maximumLayers)),
});
const indexSchema = v.object({
  manifests: v.pipe(v.array(descriptorSchema), v.maxLength(maximumIndexEntries)),
});

/** Registries also hold charts, signatures and the like; their manifests look like images but for the config. */
function refuseOtherArtifacts(config: Descriptor, origin: Origin): void {
  if ([ociConfig, dockerConfig, "application/octet-stream"].includes(config.mediaType)) return;
  throw new SupermachineError("UNSUPPORTED_MEDIA", `'${origin.name}' is not a container image`, {
    hint: `Its configuration has media type '${config.mediaType.slice(0, 100)}'; such artifacts cannot be run`,
  });
}

function schema1(origin: Origin): SupermachineError {
  return new SupermachineError(
    "UNSUPPORTED_MEDIA",
    `Image '${origin.name}' has the obsolete manifest format "schema 1"`,
    { hint: "Push it again with a current tool, which makes an OCI or schema 2 manifest" },
  );
}
