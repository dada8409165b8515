import { createHash } from "node:crypto";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import { errnoOf } from "../../errors/system-failure.ts";
import type { LocalLayer } from "../../image/image.ts";
import { archiveError } from "../../tar/archive-error.ts";
import { decompressFile } from "../../tar/host/decompress.ts";
import { FileSink } from "./file-sink.ts";

export interface UnpackOptions {
  /** File to create for the uncompressed bytes; not used when the layer is stored uncompressed. */
  readonly spool: string;
  /** Bytes of the stored blob read so far. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
  readonly limits?: Partial<UnpackLimits>;
}

export interface UnpackLimits {
  /** Uncompressed bytes of a layer. Default 256 GiB. */
  readonly maxLayerBytes: number;
  /** Uncompressed bytes for each stored one, once a layer is past `freeBytes`. Default 256. */
  readonly maxRatio: number;
  /** Uncompressed bytes that any layer may have, whatever the ratio. Default 4 GiB. */
  readonly freeBytes: number;
}

export const defaultUnpackLimits: UnpackLimits = {
  maxLayerBytes: 256 * 2 ** 30,
  maxRatio: 256,
  freeBytes: 4 * 2 ** 30,
};

/**
 * Checks a layer against its diff id and returns the path of its uncompressed tar: the blob itself, or the spool file.
 *
 * Throws DIGEST_MISMATCH when the content is another one, ARCHIVE_INVALID when the compressed data is damaged or grows
 * beyond the limits, NO_SPACE when the spool file does not fit.
 */
export async function unpackLayer(layer: LocalLayer, options: UnpackOptions): Promise<string> {
  const { spool, onProgress } = options;
  const [algorithm = ""] = layer.diffId.split(":");
  const hash = createHash(algorithm);
  using sink = layer.compression === "none" ? undefined : new FileSink(spool);
  const allowed = allowedBytes(layer.size, { ...defaultUnpackLimits, ...options.limits });
  let length = 0;
  try {
    await decompressFile(layer.path, {
      compression: layer.compression,
      onRead: onProgress,
      onBytes: (bytes) => {
        if (length + bytes.length > allowed)
          throw archiveError(`grows beyond ${allowed} bytes when uncompressed`, {
            hint: "A layer that grows so much is most likely made to fill the disk",
          });
        hash.update(bytes);
        sink?.write(length, bytes);
        length += bytes.length;
      },
    });
  } catch (error) {
    if (errnoOf(error) === "ENOENT") throw missingBlob(layer, error);
    throw error;
  }
  const actual = `${algorithm}:${hash.digest("hex")}`;
  if (actual !== layer.diffId) throw mismatch(layer, actual);
  return sink === undefined ? layer.path : spool;
}

function allowedBytes(stored: number, { maxLayerBytes, maxRatio, freeBytes }: UnpackLimits): number {
  return Math.min(maxLayerBytes, Math.max(freeBytes, stored * maxRatio));
}

function missingBlob(layer: LocalLayer, cause: unknown): SupermachineError {
  return new SupermachineError("IMAGE_NOT_FOUND", `Layer ${layer.digest} is not in the store any more`, {
    hint: "Pull the image again",
    cause,
    data: { layer: layer.digest, path: layer.path },
  });
}

function mismatch(layer: LocalLayer, actual: string): SupermachineError {
  return new SupermachineError(
    "DIGEST_MISMATCH",
    `Layer ${layer.digest} does not unpack to ${layer.diffId}, which the image's configuration promises`,
    {
      hint: "Pull the image again; if that does not help, it was built wrongly",
      data: { layer: layer.digest, expected: layer.diffId, actual },
    },
  );
}
