// pax extended headers: "%d %s=%s\n", length of the whole record, keyword, value.
// https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html#tag_20_92_13_03 (pax Extended Header)

import type { Fail } from "./archive-error.ts";
import type { ByteString } from "./byte-source.ts";
import { byteStringFrom, bytesOf } from "./byte-string.ts";

/** What an extended header says, reduced to what this reader acts on. */
export interface PaxRecords {
  /** path, linkpath, size, uid, gid, mtime and GNU.sparse.*; a value of "" is absent, as POSIX has it. */
  readonly values: ReadonlyMap<string, ByteString>;
  /** Full names. An empty value is a value here: Linux allows it. */
  readonly xattrs: ReadonlyMap<ByteString, Uint8Array>;
  /** GNU sparse format 0.0 repeats two keywords: offset, length, offset, length ... as written. */
  readonly sparseRuns: readonly ByteString[];
}

export const noPaxRecords: PaxRecords = { values: new Map(), xattrs: new Map(), sparseRuns: [] };

/** Limits are the caller's: `maxXattrs`, and the length of `bytes`. */
export function parsePaxRecords(bytes: Uint8Array, options: { maxXattrs: number; fail: Fail }): PaxRecords {
  const { maxXattrs, fail } = options;
  const values = new Map<string, ByteString>();
  const xattrs = new Map<ByteString, Uint8Array>();
  const libarchiveXattrs = new Map<ByteString, Uint8Array>();
  const sparseRuns: ByteString[] = [];
  for (let at = 0; at < bytes.length; ) {
    const record = recordAt(bytes, at) ?? fail("has a malformed extended header");
    at = record.end;
    const { keyword, value } = record;
    if (keyword.startsWith(schilyXattr)) xattrs.set(keyword.slice(schilyXattr.length), value.slice());
    else if (keyword.startsWith(libarchiveXattr))
      libarchiveXattrs.set(
        percentDecode(keyword.slice(libarchiveXattr.length)),
        decodeBase64(value) ?? fail("has an extended attribute that is not base64"),
      );
    else if (keyword === "GNU.sparse.offset" || keyword === "GNU.sparse.numbytes") {
      // Offset and length must alternate, or the pairs would shift.
      if ((sparseRuns.length % 2 === 0) !== (keyword === "GNU.sparse.offset"))
        fail("has a sparse map whose offsets and lengths do not alternate");
      sparseRuns.push(byteStringFrom(value));
    } else if (understood.has(keyword) || keyword.startsWith("GNU.sparse."))
      values.set(keyword, textValue(value, { keyword, fail }));
    if (xattrs.size + libarchiveXattrs.size > 2 * maxXattrs) fail("has too many extended attributes");
  }
  // libarchive writes most attributes twice; SCHILY's form is the binary truth.
  for (const [name, value] of libarchiveXattrs) if (!xattrs.has(name)) xattrs.set(name, value);
  for (const name of xattrs.keys())
    if (name === "" || name.includes("\0")) fail("has an extended attribute with an impossible name");
  if (xattrs.size > maxXattrs) fail("has too many extended attributes");
  // Most headers have none; the shared empty map keeps millions of entries small.
  return { values, xattrs: xattrs.size === 0 ? noPaxRecords.xattrs : xattrs, sparseRuns };
}

/** Records of `over` win; used to lay an entry's own header over the global one. */
export function overlayPaxRecords(base: PaxRecords, over: PaxRecords): PaxRecords {
  if (base === noPaxRecords) return over;
  if (over === noPaxRecords) return base;
  return {
    values: new Map([...base.values, ...over.values]),
    xattrs: base.xattrs.size === 0 ? over.xattrs : new Map([...base.xattrs, ...over.xattrs]),
    sparseRuns: over.sparseRuns,
  };
}

const schilyXattr = "SCHILY.xattr.";
const libarchiveXattr = "LIBARCHIVE.xattr.";
const understood: ReadonlySet<string> = new Set(["path", "linkpath", "size", "uid", "gid", "mtime"]);

interface PaxRecord {
  readonly keyword: ByteString;
  readonly value: Uint8Array;
  readonly end: number;
}

function recordAt(bytes: Uint8Array, start: number): PaxRecord | undefined {
  let at = start;
  let length = 0;
  // Seven digits are more than the largest header allowed; more would be an endless number.
  for (; at < start + 8; at++) {
    const digit = (bytes[at] ?? 0) - 0x30;
    if (digit < 0 || digit > 9) break;
    length = length * 10 + digit;
  }
  const end = start + length;
  if (at === start || bytes[at] !== 0x20 || end > bytes.length || bytes[end - 1] !== 0x0a) return undefined;
  const equals = bytes.indexOf(0x3d, at + 1);
  if (equals <= at + 1 || equals >= end) return undefined;
  const keyword = byteStringFrom(bytes.subarray(at + 1, equals));
  if (keyword.includes("\0")) return undefined;
  return { keyword, value: bytes.subarray(equals + 1, end - 1), end };
}

function textValue(value: Uint8Array, { keyword, fail }: { keyword: string; fail: Fail }): ByteString {
  if (value.includes(0)) fail(`has a NUL byte in its extended header's ${keyword}`);
  return byteStringFrom(value);
}

function percentDecode(name: ByteString): ByteString {
  return name.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

const base64Alphabet = bytesOf("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");

/** libarchive writes no padding; with padding is accepted too. */
function decodeBase64(value: Uint8Array): Uint8Array | undefined {
  let length = value.length;
  while (length > 0 && value[length - 1] === 0x3d) length--;
  if (length % 4 === 1) return undefined;
  const bytes = new Uint8Array(Math.floor((length * 3) / 4));
  let bits = 0;
  let held = 0;
  let out = 0;
  for (let at = 0; at < length; at++) {
    const digit = base64Alphabet.indexOf(value[at] ?? 0);
    if (digit < 0) return undefined;
    held = ((held << 6) | digit) & 0xffff;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes[out++] = (held >> bits) & 0xff;
  }
  return bytes;
}
