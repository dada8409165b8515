/**
 * How much one archive may ask for. Real layers stay far below every default; crossing one is ARCHIVE_INVALID with the
 * entry named.
 */
export interface TarLimits {
  /** Entries in the archive, extension headers included. Default 4,194,304. */
  readonly maxEntries: number;
  /** Bytes of one pax or GNU extension header. Default 1 MiB, as in Go's reader, which most layers have passed. */
  readonly maxExtensionBytes: number;
  /** Bytes of a name or link target. Default 4096 (PATH_MAX). */
  readonly maxPathBytes: number;
  /** Bytes between two slashes of a name. Default 255 (NAME_MAX). */
  readonly maxComponentBytes: number;
  /** Extended attributes of one entry. Default 256. */
  readonly maxXattrs: number;
  /** Name and value bytes of one entry's extended attributes. Default 128 KiB (one value: 64 KiB on Linux). */
  readonly maxXattrBytes: number;
  /** Data runs of all sparse files together. Default 1,048,576. */
  readonly maxSparseExtents: number;
  /** Logical bytes of all files together, holes included. Default 4 TiB. */
  readonly maxTotalBytes: number;
  /** Bytes of all names, link targets and extended attributes together: they stay in memory. Default 512 MiB. */
  readonly maxMetadataBytes: number;
}

export const defaultTarLimits: TarLimits = {
  maxEntries: 4 * 2 ** 20,
  maxExtensionBytes: 2 ** 20,
  maxPathBytes: 4096,
  maxComponentBytes: 255,
  maxXattrs: 256,
  maxXattrBytes: 128 * 2 ** 10,
  maxSparseExtents: 2 ** 20,
  maxTotalBytes: 4 * 2 ** 40,
  maxMetadataBytes: 512 * 2 ** 20,
};
