// The 512-byte header block: POSIX.1-1988 "ustar", Unix V7, old GNU and star.
// https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html#tag_20_92_13_06 (ustar Interchange Format)
// https://www.gnu.org/software/tar/manual/html_node/Standard.html (old GNU)

import type { Fail } from "./archive-error.ts";
import type { ByteString } from "./byte-source.ts";
import { byteStringFrom } from "./byte-string.ts";
import { parseNumericField } from "./tar-number.ts";

export const blockBytes = 512;

/** One header block as written, before any extension header is applied. */
export interface TarHeader {
  readonly name: ByteString;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** Seconds since 1970. */
  readonly mtime: number;
  /** One character; V7's NUL is "\0". */
  readonly typeflag: string;
  readonly linkName: ByteString;
  readonly format: TarFormat;
}

export type TarFormat = "v7" | "ustar" | "gnu" | "star";

/** The name alone, for error messages about headers that cannot be parsed. */
export function headerName(block: Uint8Array, format: TarFormat = formatOf(block)): ByteString {
  const name = text(block, field.name);
  const prefix = format === "v7" ? "" : prefixOf(block, format);
  return prefix === "" ? name : `${prefix}/${name}`;
}

export function parseTarHeader(block: Uint8Array, fail: Fail): TarHeader {
  const number = (at: Field, what: string) =>
    parseNumericField(slice(block, at)) ?? fail(`has a header whose ${what} is not a number`);
  const format = formatOf(block);
  return {
    name: headerName(block, format),
    mode: number(field.mode, "mode"),
    uid: number(field.uid, "owner"),
    gid: number(field.gid, "group"),
    size: number(field.size, "size"),
    mtime: number(field.mtime, "time"),
    typeflag: String.fromCharCode(block[field.typeflag[0]] ?? 0),
    linkName: text(block, field.linkName),
    format,
  };
}

/** Device numbers; only devices have meaningful bytes there. */
export function parseDeviceNumbers(block: Uint8Array, fail: Fail): { major: number; minor: number } {
  const number = (at: Field) =>
    parseNumericField(slice(block, at)) ?? fail("has a device number that is not a number");
  return { major: number(field.devMajor), minor: number(field.devMinor) };
}

/** The sum of all bytes with the checksum field taken as spaces; some old writers added signed bytes. */
export function hasValidChecksum(block: Uint8Array): boolean {
  const [start, end] = field.checksum;
  let unsigned = 0;
  let signed = 0;
  for (let at = 0; at < blockBytes; at++) {
    const byte = at >= start && at < end ? 0x20 : (block[at] ?? 0);
    unsigned += byte;
    signed += (byte << 24) >> 24;
  }
  const written = parseNumericField(slice(block, field.checksum));
  return written === unsigned || written === signed;
}

export function isZeroBlock(block: Uint8Array): boolean {
  for (let at = 0; at < blockBytes; at++) if (block[at] !== 0) return false;
  return true;
}

/** First byte and the byte after the last. */
type Field = readonly [start: number, end: number];

const field = {
  name: [0, 100],
  mode: [100, 108],
  uid: [108, 116],
  gid: [116, 124],
  size: [124, 136],
  mtime: [136, 148],
  checksum: [148, 156],
  typeflag: [156, 157],
  linkName: [157, 257],
  magic: [257, 263],
  version: [263, 265],
  devMajor: [329, 337],
  devMinor: [337, 345],
  prefix: [345, 500],
  /** star keeps its access and change times where ustar has the end of the prefix. */
  starPrefix: [345, 476],
  starTrailer: [508, 512],
  /** Old GNU has two times where ustar has its prefix. */
  gnuAccessTime: [345, 357],
  gnuChangeTime: [357, 369],
} as const satisfies Record<string, Field>;

function formatOf(block: Uint8Array): TarFormat {
  if (holds(block, field.magic, "ustar\0"))
    return holds(block, field.starTrailer, "tar\0") ? "star" : "ustar";
  return holds(block, field.magic, "ustar ") && holds(block, field.version, " \0") ? "gnu" : "v7";
}

function holds(block: Uint8Array, [start]: Field, expected: string): boolean {
  for (let at = 0; at < expected.length; at++)
    if (block[start + at] !== expected.charCodeAt(at)) return false;
  return true;
}

function prefixOf(block: Uint8Array, format: "ustar" | "gnu" | "star"): ByteString {
  if (format === "star") return text(block, field.starPrefix);
  if (format === "ustar") return text(block, field.prefix);
  // Go before 1.8 wrote a prefix into GNU headers, and images made by it are still about: a field that cannot be the
  // times which belong here, and is plain ASCII, is taken for one, as Go's reader does.
  const isTime = [field.gnuAccessTime, field.gnuChangeTime].every(
    (at) => parseNumericField(slice(block, at)) !== undefined,
  );
  const prefix = text(block, field.prefix);
  const isAscii = [...prefix].every((character) => character < "\x80");
  return isTime || !isAscii ? "" : prefix;
}

function slice(block: Uint8Array, [start, end]: Field): Uint8Array {
  return block.subarray(start, end);
}

/** Up to the first NUL, or the whole field. */
function text(block: Uint8Array, [start, end]: Field): ByteString {
  let stop = start;
  while (stop < end && block[stop] !== 0) stop++;
  return byteStringFrom(block.subarray(start, stop));
}
