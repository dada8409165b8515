// Writes tar archives in the pax interchange format.
// https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html#tag_20_92_13 (formats)
// https://www.gnu.org/software/tar/manual/html_node/PAX-1.html (sparse files, version 1.0)

import { blockBytes } from "./tar-header.ts";

/** A member to be written. Its owner is root. */
export interface TarMember {
  /** As it shall stand in the archive; directories end with a slash. */
  readonly path: string;
  readonly type: "file" | "directory" | "symlink";
  /** 0 to 0o7777. */
  readonly mode: number;
  /** Seconds since 1970; a part of a second is dropped. */
  readonly mtime: number;
  /** Bytes that follow the header; the file's length unless it is sparse. 0 by default. */
  readonly size?: number;
  readonly linkTarget?: string;
  /** Pieces of a sparse file that the data consists of. The map is part of the header here, not of `size`. */
  readonly sparse?: SparseLayout;
}

export interface SparseLayout {
  /** Of the file, holes included. */
  readonly length: number;
  /** Ascending, without overlaps, together `size` bytes. */
  readonly runs: readonly { readonly offset: number; readonly length: number }[];
}

/** Follows the last member. */
export const tarEnd: Uint8Array = new Uint8Array(2 * blockBytes);

/** What stands before a member's data: its header block, and a pax header before that for what does not fit. */
export function tarHeader(member: TarMember): Uint8Array {
  const map = member.sparse === undefined ? new Uint8Array() : sparseMap(member.sparse);
  const size = map.length + (member.size ?? 0);
  const records = paxRecords(member, size);
  const name = member.sparse === undefined ? member.path : `GNUSparseFile.0/${member.path}`;
  const plain = ustar({ ...member, name, typeflag: typeflags[member.type], size });
  if (records === "") return joined(plain, map);
  const data = encoder.encode(records);
  const pax = ustar({ name: "pax", typeflag: "x", mode: 0o644, mtime: member.mtime, size: data.length });
  return joined(pax, data, tarPadding(data.length), plain, map);
}

/** What stands after a member's data of this length (without a sparse map, which is padded itself). */
export function tarPadding(size: number): Uint8Array {
  return new Uint8Array((blockBytes - (size % blockBytes)) % blockBytes);
}

const typeflags = { file: "0", symlink: "2", directory: "5" } as const;
const encoder = new TextEncoder();
/** What eleven octal digits can say. */
const maxOctalSize = 8 ** 11 - 1;

function paxRecords({ path, linkTarget = "", sparse }: TarMember, size: number): string {
  let records = "";
  if (sparse !== undefined)
    records +=
      paxRecord("GNU.sparse.major", "1") +
      paxRecord("GNU.sparse.minor", "0") +
      paxRecord("GNU.sparse.name", path) +
      paxRecord("GNU.sparse.realsize", `${sparse.length}`);
  else if (!fits(path)) records += paxRecord("path", path);
  if (!fits(linkTarget)) records += paxRecord("linkpath", linkTarget);
  if (size > maxOctalSize) records += paxRecord("size", `${size}`);
  return records;
}

/** Names that are longer or not ASCII go into a pax header. */
function fits(name: string): boolean {
  return name.length <= 100 && /^[\x20-\x7e]*$/.test(name);
}

/** "LENGTH KEY=VALUE\n", the length counting itself. */
function paxRecord(key: string, value: string): string {
  const rest = encoder.encode(` ${key}=${value}\n`).length;
  let length = rest + 1;
  while (String(length).length + rest !== length) length = String(length).length + rest;
  return `${length} ${key}=${value}\n`;
}

/** The count of runs, then offset and length of each, as lines of decimal digits in whole blocks. */
function sparseMap({ runs, length }: SparseLayout): Uint8Array {
  // GNU tar marks the end of a file that ends with a hole by an empty run.
  const all = [...runs, { offset: length, length: 0 }];
  const lines = [`${all.length}\n`, ...all.map((run) => `${run.offset}\n${run.length}\n`)];
  const text = encoder.encode(lines.join(""));
  return joined(text, tarPadding(text.length));
}

interface UstarFields {
  readonly name: string;
  readonly typeflag: string;
  readonly mode: number;
  readonly mtime: number;
  readonly size: number;
  readonly linkTarget?: string;
}

/** POSIX.1-1988 ustar: offsets as in the table of the standard. */
function ustar({ name, typeflag, mode, mtime, size, linkTarget = "" }: UstarFields): Uint8Array {
  const bytes = new Uint8Array(blockBytes);
  const text = (value: string, at: number, width: number): void =>
    bytes.set(encoder.encode(value).subarray(0, width), at);
  const octal = (value: number, at: number, width: number): void =>
    text(`${value.toString(8).padStart(width - 1, "0")}\0`, at, width);
  text(name, 0, 100);
  octal(mode & 0o7777, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size > maxOctalSize ? 0 : size, 124, 12);
  octal(Math.min(maxOctalSize, Math.max(0, Math.floor(mtime))), 136, 12);
  text("        ", 148, 8);
  text(typeflag, 156, 1);
  text(linkTarget, 157, 100);
  text("ustar\x0000", 257, 8);
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  text(`${sum.toString(8).padStart(6, "0")}\0 `, 148, 8);
  return bytes;
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
