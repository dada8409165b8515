import type { Timestamp } from "./byte-source.ts";

/**
 * A numeric header field: octal digits with spaces and NULs around them, or (first bit set) GNU's base-256, a big-endian
 * two's complement number in the remaining bits. An empty field is 0. Undefined when malformed or beyond 2^53.
 */
export function parseNumericField(field: Uint8Array): number | undefined {
  const first = field[0] ?? 0;
  return (first & 0x80) === 0 ? parseOctal(field) : parseBase256(field);
}

/** Decimal digits as pax writes sizes and ids, with an optional sign. Undefined when malformed or beyond 2^53. */
export function parseDecimal(text: string): number | undefined {
  if (!/^[+-]?[0-9]{1,20}$/.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}

/**
 * POSIX pax "mtime": seconds with an optional fraction. Digits beyond nanoseconds are dropped; a negative time is
 * counted from the second below, so that nanoseconds are never negative.
 */
export function parseTimestamp(text: string): Timestamp | undefined {
  const match = /^([+-]?)([0-9]{1,20})(?:\.([0-9]*))?$/.exec(text);
  if (match === null) return undefined;
  const [, sign, whole, fraction = ""] = match;
  const seconds = Number(whole);
  if (!Number.isSafeInteger(seconds)) return undefined;
  const nanoseconds = Number(fraction.slice(0, 9).padEnd(9, "0"));
  if (sign !== "-") return { seconds, nanoseconds };
  return nanoseconds === 0
    ? { seconds: 0 - seconds, nanoseconds }
    : { seconds: -seconds - 1, nanoseconds: 1e9 - nanoseconds };
}

function parseOctal(field: Uint8Array): number | undefined {
  let at = 0;
  while (at < field.length && isPadding(field[at])) at++;
  let value = 0;
  for (; at < field.length; at++) {
    const digit = (field[at] ?? 0) - 0x30;
    if (digit < 0 || digit > 7) break;
    value = value * 8 + digit;
  }
  // A NUL ends the field: what stands behind it is left over from an earlier use of the buffer.
  for (; at < field.length && field[at] !== 0; at++) if (field[at] !== 0x20) return undefined;
  return Number.isSafeInteger(value) ? value : undefined;
}

function isPadding(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0;
}

function parseBase256(field: Uint8Array): number | undefined {
  const negative = ((field[0] ?? 0) & 0x40) !== 0;
  let value = 0;
  for (let at = 0; at < field.length; at++) {
    const byte = (field[at] ?? 0) ^ (negative ? 0xff : 0);
    value = value * 256 + (at === 0 ? byte & 0x7f : byte);
    if (!Number.isSafeInteger(value)) return undefined;
  }
  return negative ? -value - 1 : value;
}
