// Reads tar archives as container image layers use them: V7, ustar, pax, GNU and star.
// https://github.com/opencontainers/image-spec/blob/main/layer.md#creating
// Where formats leave a choice, the one of Go's archive/tar is taken, because the tools that unpack images use it;
// a pax global header, which that leaves to its caller, applies to all later entries as POSIX says.

import { archiveError, type Fail } from "./archive-error.ts";
import type { ByteSource, ByteString, Extent, Timestamp } from "./byte-source.ts";
import { byteStringFrom } from "./byte-string.ts";
import { noPaxRecords, overlayPaxRecords, type PaxRecords, parsePaxRecords } from "./pax-records.ts";
import { oldGnuSparseRuns, paxSparseRuns, type SparseContext, sparseExtents } from "./sparse-map.ts";
import type { TarEntry, TarEntryType } from "./tar-entry.ts";
import {
  blockBytes,
  hasValidChecksum,
  headerName,
  isZeroBlock,
  parseDeviceNumbers,
  parseTarHeader,
  type TarHeader,
} from "./tar-header.ts";
import { defaultTarLimits, type TarLimits } from "./tar-limits.ts";
import { parseDecimal, parseTimestamp } from "./tar-number.ts";

/**
 * Yields the members of an uncompressed tar archive in order. File bytes are never read: extents say where they are.
 *
 * The archive ends at two zero blocks (whatever follows is ignored), or where the source does. GNU volume labels are
 * skipped; every other type this reader does not know is refused, because leaving out a file silently would be worse.
 * Anything malformed, and anything past `limits`, throws ARCHIVE_INVALID with the entry and its offset.
 */
export function* readTar(
  source: ByteSource,
  length: number,
  limits: Partial<TarLimits> = {},
): Generator<TarEntry, void, undefined> {
  const reader = new TarReader(source, length, { ...defaultTarLimits, ...limits });
  for (let entry = reader.next(); entry !== undefined; entry = reader.next()) yield entry;
}

/** What extension headers said about the entry that follows them. */
interface Pending {
  name: ByteString | undefined;
  linkName: ByteString | undefined;
  records: PaxRecords;
}

class TarReader {
  readonly #source: ByteSource;
  readonly #length: number;
  readonly #limits: TarLimits;
  readonly #block: Uint8Array = new Uint8Array(blockBytes);
  #position = 0;
  #globals: PaxRecords = noPaxRecords;
  #entries = 0;
  #totalBytes = 0;
  #metadataBytes = 0;
  #sparseExtents = 0;

  constructor(source: ByteSource, length: number, limits: TarLimits) {
    this.#source = source;
    this.#length = length;
    this.#limits = limits;
  }

  next(): TarEntry | undefined {
    const pending: Pending = { name: undefined, linkName: undefined, records: noPaxRecords };
    for (;;) {
      const offset = this.#position;
      if (!this.#readHeaderBlock()) return undefined;
      const fail = failAt(headerName(this.#block), offset);
      const header = parseTarHeader(this.#block, fail);
      if (++this.#entries > this.#limits.maxEntries)
        fail(`is one more than the ${this.#limits.maxEntries} allowed`);
      if (this.#readExtension(header, pending, fail)) continue;
      return this.#readEntry(header, { pending, offset });
    }
  }

  /** False at the end of the archive. */
  #readHeaderBlock(): boolean {
    const offset = this.#position;
    const fail = failAt(undefined, offset);
    if (!this.#readBlock()) return false;
    if (isZeroBlock(this.#block)) {
      if (!this.#readBlock() || isZeroBlock(this.#block)) return false;
      fail("has data after a lone zero block");
    }
    if (!hasValidChecksum(this.#block)) fail(`has a damaged header at byte ${offset}`);
    return true;
  }

  /** False when the source ends here. Trailing bytes short of a block must be zeros. */
  #readBlock(): boolean {
    const left = this.#length - this.#position;
    if (left <= 0) return false;
    if (left >= blockBytes) {
      this.#source.read(this.#position, this.#block);
      this.#position += blockBytes;
      return true;
    }
    this.#block.fill(0);
    this.#source.read(this.#position, this.#block.subarray(0, left));
    if (!isZeroBlock(this.#block)) failAt(undefined, this.#position)("ends in the middle of a header");
    return false;
  }

  /** True when the header was an extension, which is then consumed. */
  #readExtension(header: TarHeader, pending: Pending, fail: Fail): boolean {
    const { maxXattrs } = this.#limits;
    switch (header.typeflag) {
      case "x":
        pending.records = parsePaxRecords(this.#readExtensionData(header, fail), { maxXattrs, fail });
        return true;
      case "g": {
        const records = parsePaxRecords(this.#readExtensionData(header, fail), { maxXattrs, fail });
        this.#globals = overlayPaxRecords(this.#globals, records);
        if (this.#globals.xattrs.size > maxXattrs) fail("adds too many global extended attributes");
        return true;
      }
      case "L":
        pending.name = untilNul(this.#readExtensionData(header, fail));
        return true;
      case "K":
        pending.linkName = untilNul(this.#readExtensionData(header, fail));
        return true;
      case "V":
        this.#skipData(header.size, fail);
        return true;
      default:
        return false;
    }
  }

  #readExtensionData(header: TarHeader, fail: Fail): Uint8Array {
    const { maxExtensionBytes } = this.#limits;
    if (header.size > maxExtensionBytes)
      fail(`has an extended header of more than ${maxExtensionBytes} bytes`);
    const start = this.#position;
    this.#skipData(header.size, fail);
    const data = new Uint8Array(header.size);
    this.#source.read(start, data);
    return data;
  }

  #skipData(size: number, fail: Fail): void {
    if (size < 0) fail("has a negative size");
    if (size > this.#length - this.#position)
      fail(`claims ${size} bytes but only ${this.#length - this.#position} are left`);
    // The padding of the last entry may be missing.
    this.#position = Math.min(this.#length, this.#position + Math.ceil(size / blockBytes) * blockBytes);
  }

  #readEntry(header: TarHeader, { pending, offset }: { pending: Pending; offset: number }): TarEntry {
    const records = overlayPaxRecords(this.#globals, pending.records);
    const value = (keyword: string) => records.values.get(keyword) || undefined;
    const path = pending.name ?? value("GNU.sparse.name") ?? value("path") ?? header.name;
    const fail = failAt(path, offset);
    const type = entryType(header, { path, fail });
    const isLink = type === "symlink" || type === "hard-link";
    const linkTarget = isLink ? (pending.linkName ?? value("linkpath") ?? header.linkName) : "";
    const isDevice = type === "character-device" || type === "block-device";
    const device = isDevice ? parseDeviceNumbers(this.#block, fail) : { major: 0, minor: 0 };
    const content = this.#readContent(header, { records, type, fail });
    this.#checkNames(path, linkTarget, fail);
    this.#checkCosts(path.length + linkTarget.length, { xattrs: records.xattrs, size: content.size, fail });
    return {
      path,
      type,
      headerOffset: offset,
      // Go keeps file type bits that some writers add to the mode; no unpacker looks at them.
      mode: header.mode & 0o7777,
      uid: ownerId(value("uid"), header.uid, fail),
      gid: ownerId(value("gid"), header.gid, fail),
      mtime: modificationTime(value("mtime"), header.mtime, fail),
      xattrs: records.xattrs,
      linkTarget,
      ...device,
      ...content,
    };
  }

  #readContent(
    header: TarHeader,
    { records, type, fail }: { records: PaxRecords; type: TarEntryType; fail: Fail },
  ): { size: number; extents: readonly Extent[] } {
    const number = (keyword: string) => {
      const text = records.values.get(keyword) || undefined;
      if (text === undefined) return undefined;
      return parseDecimal(text) ?? fail(`has a malformed ${keyword} in its extended header`);
    };
    const stored = number("size") ?? header.size;
    if (stored < 0) fail("has a negative size");
    // Other types have no data, whatever their size says: a hard link's is often its target's.
    if (type !== "file") return { size: 0, extents: [] };
    const source = this.#source;
    const start = this.#position;
    const maxRuns = this.#limits.maxSparseExtents - this.#sparseExtents;
    const context: SparseContext = { source, start, end: this.#length, maxRuns, fail };
    if (header.typeflag === "S") {
      if (header.format !== "gnu") fail("is a GNU sparse file without a GNU header");
      const sparse = oldGnuSparseRuns(this.#block, context);
      this.#position = sparse.start;
      this.#skipData(stored, fail);
      return this.#sparseContent(sparse.runs, {
        ...context,
        start: sparse.start,
        end: sparse.start + stored,
        size: sparse.realSize,
      });
    }
    this.#skipData(stored, fail);
    const sparse = paxSparseRuns(records, { ...context, end: start + stored });
    if (sparse !== undefined)
      return this.#sparseContent(sparse.runs, {
        ...context,
        start: sparse.start,
        end: start + stored,
        size: number("GNU.sparse.size") ?? number("GNU.sparse.realsize") ?? stored,
      });
    return {
      size: stored,
      extents: stored === 0 ? [] : [{ offset: 0, length: stored, source, position: start }],
    };
  }

  #sparseContent(
    runs: readonly number[],
    context: SparseContext & { readonly size: number },
  ): { size: number; extents: readonly Extent[] } {
    if (context.size < 0) context.fail("has a negative size");
    const extents = sparseExtents(runs, context);
    this.#sparseExtents += extents.length;
    return { size: context.size, extents };
  }

  #checkNames(path: ByteString, linkTarget: ByteString, fail: Fail): void {
    const { maxPathBytes, maxComponentBytes } = this.#limits;
    if (path.length > maxPathBytes) fail(`has a name of more than ${maxPathBytes} bytes`);
    if (linkTarget.length > maxPathBytes) fail(`has a link target of more than ${maxPathBytes} bytes`);
    let start = 0;
    while (start <= path.length) {
      const slash = path.indexOf("/", start);
      const end = slash < 0 ? path.length : slash;
      if (end - start > maxComponentBytes) fail(`has a file name of more than ${maxComponentBytes} bytes`);
      start = end + 1;
    }
  }

  #checkCosts(
    nameBytes: number,
    { xattrs, size, fail }: { xattrs: PaxRecords["xattrs"]; size: number; fail: Fail },
  ): void {
    const { maxXattrs, maxXattrBytes, maxMetadataBytes, maxTotalBytes } = this.#limits;
    if (xattrs.size > maxXattrs) fail(`has more than ${maxXattrs} extended attributes`);
    let xattrBytes = 0;
    for (const [name, value] of xattrs) {
      if (name.length > 255) fail("has an extended attribute with a name of more than 255 bytes");
      if (value.length > 65_535) fail("has an extended attribute of more than 65535 bytes");
      xattrBytes += name.length + value.length;
    }
    if (xattrBytes > maxXattrBytes) fail(`has more than ${maxXattrBytes} bytes of extended attributes`);
    this.#metadataBytes += nameBytes + xattrBytes;
    if (this.#metadataBytes > maxMetadataBytes) fail(`takes the names in it past ${maxMetadataBytes} bytes`);
    this.#totalBytes += size;
    if (this.#totalBytes > maxTotalBytes) fail(`takes the files in it past ${maxTotalBytes} bytes`);
  }
}

function failAt(entry: ByteString | undefined, offset: number): Fail {
  return (problem) => {
    throw archiveError(problem, { entry, offset });
  };
}

function entryType(header: TarHeader, { path, fail }: { path: ByteString; fail: Fail }): TarEntryType {
  switch (header.typeflag) {
    case "\0":
      // V7 has no directories: a name that ends with a slash is one.
      return path.endsWith("/") ? "directory" : "file";
    case "0":
    case "7": // A contiguous file is a file on every system that unpacks images.
    case "S":
      return "file";
    case "1":
      return "hard-link";
    case "2":
      return "symlink";
    case "3":
      return "character-device";
    case "4":
      return "block-device";
    case "5":
      return "directory";
    case "6":
      return "fifo";
    default:
      return fail(`has an unknown type, 0x${header.typeflag.charCodeAt(0).toString(16).padStart(2, "0")}`);
  }
}

function ownerId(text: ByteString | undefined, written: number, fail: Fail): number {
  const id = text === undefined ? written : parseDecimal(text);
  // 2^32-1 is Linux's "leave as it is", so no file can be owned by it.
  if (id === undefined || id < 0 || id >= 2 ** 32 - 1) return fail("has an owner or group outside 32 bits");
  return id;
}

function modificationTime(text: ByteString | undefined, written: number, fail: Fail): Timestamp {
  if (text === undefined) return { seconds: written, nanoseconds: 0 };
  return parseTimestamp(text) ?? fail("has a malformed time in its extended header");
}

function untilNul(bytes: Uint8Array): ByteString {
  const end = bytes.indexOf(0);
  return byteStringFrom(end < 0 ? bytes : bytes.subarray(0, end));
}
