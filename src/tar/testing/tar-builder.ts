// Makes tar archives byte by byte, valid or not, for tests: every field can be given as it should stand in the block.

import type { ByteSource, ByteString } from "../byte-source.ts";
import { bytesOf } from "../byte-string.ts";

export interface TarMember {
  readonly name: ByteString;
  /** One character; default "0". */
  readonly typeflag?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number;
  readonly linkName?: ByteString;
  readonly data?: Uint8Array | string;
  /** What the header claims; default the data's length. */
  readonly size?: number;
  readonly major?: number;
  readonly minor?: number;
  readonly prefix?: ByteString;
  /** Default "ustar". */
  readonly format?: "v7" | "ustar" | "gnu";
  /** Last change to the block before its checksum is made. */
  readonly patch?: (block: Uint8Array) => void;
}

/** Joins members and ends the archive with two zero blocks. */
export function tarOf(...members: readonly Uint8Array[]): Uint8Array {
  return concat(...members, new Uint8Array(1024));
}

/** Header and padded data of one member. */
export function member(description: TarMember): Uint8Array {
  const data = toBytes(description.data ?? "");
  return concat(header({ size: data.length, ...description }), padded(data));
}

/** The header block alone. */
export function header(description: TarMember): Uint8Array {
  const { name, typeflag = "0", mode = 0o644, uid = 0, gid = 0, mtime = 0 } = description;
  const { linkName = "", size = 0, format = "ustar", patch } = description;
  const block = new Uint8Array(512);
  const put = (at: number, text: ByteString): void => block.set(bytesOf(text), at);
  put(0, name.slice(0, 100));
  putNumber(block.subarray(100, 108), mode);
  putNumber(block.subarray(108, 116), uid);
  putNumber(block.subarray(116, 124), gid);
  putNumber(block.subarray(124, 136), size);
  putNumber(block.subarray(136, 148), mtime);
  put(156, typeflag);
  put(157, linkName.slice(0, 100));
  if (format !== "v7") {
    put(257, format === "gnu" ? "ustar  \0" : "ustar\x0000");
    putNumber(block.subarray(329, 337), description.major ?? 0);
    putNumber(block.subarray(337, 345), description.minor ?? 0);
    put(345, description.prefix ?? "");
  }
  patch?.(block);
  putChecksum(block);
  return block;
}

/** An extended header ("x", or "g" for all that follow). */
export function pax(records: Readonly<Record<string, ByteString | Uint8Array>>, typeflag = "x"): Uint8Array {
  return member({ name: "pax", typeflag, data: concat(...Object.entries(records).map(paxRecord)) });
}

/** One "length keyword=value" record. */
export function paxRecord([keyword, value]: readonly [string, ByteString | Uint8Array]): Uint8Array {
  const body = concat(bytesOf(` ${keyword}=`), toBytes(value), bytesOf("\n"));
  // The length counts its own digits.
  let length = body.length + 1;
  while (String(length).length + body.length !== length) length = String(length).length + body.length;
  return concat(bytesOf(String(length)), body);
}

/** GNU's way to write a long name ("L") or link target ("K") in front of a member. */
export function gnuLong(typeflag: "L" | "K", text: ByteString): Uint8Array {
  return member({ name: "././@LongLink", typeflag, format: "gnu", data: `${text}\0` });
}

/** Octal where it fits, GNU's base-256 otherwise. */
export function putNumber(field: Uint8Array, value: number): void {
  const digits = field.length - 1;
  if (value >= 0 && value < 8 ** digits) {
    field.set(bytesOf(`${value.toString(8).padStart(digits, "0")}\0`));
    return;
  }
  let rest = BigInt.asUintN(8 * field.length, BigInt(value));
  for (let at = field.length - 1; at >= 0; at--) {
    field[at] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  field[0] = value < 0 ? 0xff : 0x80 | (field[0] ?? 0);
}

export function putChecksum(block: Uint8Array): void {
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.set(bytesOf(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
}

export function padded(data: Uint8Array): Uint8Array {
  return concat(data, new Uint8Array((512 - (data.length % 512)) % 512));
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Bytes in memory as a source, as strict about its end as a file. */
export function sourceOf(bytes: Uint8Array): ByteSource {
  return {
    read(position, into) {
      if (position < 0 || position + into.length > bytes.length)
        throw new RangeError(`Read of ${into.length} bytes at ${position} passes the end`);
      into.set(bytes.subarray(position, position + into.length));
    },
  };
}

function toBytes(data: Uint8Array | ByteString): Uint8Array {
  return typeof data === "string" ? bytesOf(data) : data;
}
