import { fstatSync, statSync } from "node:fs";
import {
  MAP_ANONYMOUS,
  MAP_NORESERVE,
  MAP_PRIVATE,
  MAP_SHARED,
  O_RDONLY,
  PROT_READ,
} from "../../abi/linux.x64.generated.ts";
import { systemFailure } from "../../errors/system-failure.ts";
import { open } from "../../sys/linux/file.ts";
import { Mapping } from "../../sys/linux/mapping.ts";

const MiB = 2 ** 20;
const GiB = 2 ** 30;
const pageLength = 4096;

/**
 * Bytes of the region in which a guest finds an image of this length. The regions are of few lengths: a template's guest has
 * made itself at home with its region before it has an image, and serves all images that fit. The guest keeps 64 bytes
 * for each page of it, so that a large region must not be much larger than its image: powers of two from 128 MiB to
 * 1 GiB, then quarters of them.
 */
export function rootRegionLength(imageLength: number): number {
  let length = 128 * MiB;
  while (length < imageLength && length < GiB) length *= 2;
  if (imageLength <= length) return length;
  const step = 2 ** Math.floor(Math.log2(imageLength)) / 4;
  return Math.ceil(imageLength / step) * step;
}

/** The length of the region for this image file. Throws `PERMISSION_DENIED` and what else the system says. */
export function rootRegionLengthOf(path: string): number {
  try {
    return rootRegionLength(statSync(path).size);
  } catch (error) {
    throw systemFailure(error, "Reading", path);
  }
}

/** A region of this length without an image: zeros. */
export function mapEmptyRoot(length: number): Mapping {
  return Mapping.map(length, {
    protection: PROT_READ,
    flags: MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
  });
}

/**
 * Maps an image file into its region, so that all machines that use it share the host's page cache. What lies behind the file
 * reads as zeros. Throws RangeError for one that is longer than the region.
 */
export function putRootImage(path: string, region: Mapping): void {
  using file = open(path, O_RDONLY);
  const covered = Math.ceil(fstatSync(file.fd).size / pageLength) * pageLength;
  if (covered > 0) region.replace(0, covered, { protection: PROT_READ, flags: MAP_SHARED, fd: file.fd });
}
