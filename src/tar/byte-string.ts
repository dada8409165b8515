import type { ByteString } from "./byte-source.ts";

/** One character per byte; see `ByteString`. */
export function byteStringFrom(bytes: Uint8Array): ByteString {
  // One call with the bytes as its arguments is several times faster than a loop or a spread; arguments are limited.
  if (bytes.length <= 4096) return String.fromCharCode.apply(null, bytes as unknown as number[]);
  let text = "";
  for (let at = 0; at < bytes.length; at += 4096) text += byteStringFrom(bytes.subarray(at, at + 4096));
  return text;
}

export function bytesOf(text: ByteString): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
}

/** For people: UTF-8 where it is, escapes for everything that could disturb a terminal, shortened in the middle. */
export function printable(text: ByteString): string {
  const short = text.length > 240 ? `${text.slice(0, 120)}...${text.slice(-117)}` : text;
  return decodeUtf8(short).replace(unprintable, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
  });
}

/** Control, format (bidirectional overrides among them), unassigned and separator characters other than the space. */
const unprintable = /[\p{C}\p{Zl}\p{Zp}]/gu;

function decodeUtf8(text: ByteString): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytesOf(text));
  } catch {
    // Not UTF-8: bytes above ASCII are shown as escapes.
    return text.replace(/[\x80-\xff]/g, (character) => `\\x${character.charCodeAt(0).toString(16)}`);
  }
}
