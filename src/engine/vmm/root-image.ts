import { fstatSync } from "node:fs";
import {
  MAP_ANONYMOUS,
  MAP_NORESERVE,
  MAP_PRIVATE,
  MAP_SHARED,
  O_RDONLY,
  PROT_READ,
} from "../../abi/linux.x64.generated.ts";
import { open } from "../../sys/linux/file.ts";
import { Mapping } from "../../sys/linux/mapping.ts";

/** The guest's kernel manages pmem in blocks of this size. */
const blockLength = 2 * 2 ** 20;
const pageLength = 4096;

/**
 * Maps an image file for reading, so that all machines that use it share the host's page cache. The mapping is longer
 * than the file where the guest needs whole blocks; what lies behind the file reads as zeros.
 */
export function mapRootImage(path: string): Mapping {
  using file = open(path, O_RDONLY);
  const fileLength = fstatSync(file.fd).size;
  const length = Math.max(Math.ceil(fileLength / blockLength), 1) * blockLength;
  const mapping = Mapping.map(length, {
    protection: PROT_READ,
    flags: MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
  });
  try {
    const covered = Math.ceil(fileLength / pageLength) * pageLength;
    if (covered > 0) mapping.replace(0, covered, { protection: PROT_READ, flags: MAP_SHARED, fd: file.fd });
    return mapping;
  } catch (error) {
    mapping[Symbol.dispose]();
    throw error;
  }
}
