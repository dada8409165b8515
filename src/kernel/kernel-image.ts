/**
 * Reading of kernel image files. bzImage: the Linux/x86 boot protocol,
 * https://docs.kernel.org/arch/x86/boot.html, section "The real-mode kernel header".
 */
import { decodeLz4Legacy } from "./lz4-legacy.ts";

/**
 * Whether a file looks like a kernel that can be booted: an x86 bzImage, an ELF kernel, an arm64 Image
 * (https://docs.kernel.org/arch/arm64/booting.html), also inside an EFI image or compressed with gzip.
 */
export function isKernelImage(image: Uint8Array): boolean {
  const has = (offset: number, magic: string): boolean =>
    image.length >= offset + magic.length &&
    [...magic].every((character, index) => image[offset + index] === character.charCodeAt(0));
  return has(0x202, "HdrS") || has(0, "\x7fELF") || has(56, "ARM\x64") || has(0, "MZ") || has(0, "\x1f\x8b");
}

/** The release in a kernel image, as `uname -r` prints it, or undefined when it does not say. */
export function kernelRelease(image: Uint8Array): string | undefined {
  if (isBzImage(image)) {
    const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
    return firstWord(image, view.getUint16(0x20e, true) + 0x200);
  }
  const marker = new TextEncoder().encode("Linux version ");
  const at = indexOf(image, marker);
  return at < 0 ? undefined : firstWord(image, at + marker.length);
}

/**
 * The ELF kernel inside a bzImage, so that a guest need not decompress it at every boot. Undefined when the image is
 * none, or its compression is not LZ4.
 *
 * @throws RangeError when the compressed data is damaged.
 */
export function extractVmlinux(image: Uint8Array): Uint8Array | undefined {
  if (!isBzImage(image)) return undefined;
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const setupSectors = image[0x1f1] || 4;
  const start = (setupSectors + 1) * 512 + view.getUint32(0x248, true);
  const payload = image.subarray(start, start + view.getUint32(0x24c, true));
  // The kernel's build appends the uncompressed length to the payload.
  const lengthAt = payload.length - 4;
  if (lengthAt < 4 || view.getUint32(start, true) !== 0x184c2102) return undefined;
  const length = view.getUint32(start + lengthAt, true);
  if (length > maxKernelBytes) throw new RangeError(`The kernel claims to be ${length} bytes long`);
  const kernel = decodeLz4Legacy(payload.subarray(0, lengthAt), length);
  const isElf = kernel[0] === 0x7f && kernel[1] === 0x45 && kernel[2] === 0x4c && kernel[3] === 0x46;
  return isElf ? kernel : undefined;
}

/** Several times the size of the largest distribution kernel. */
const maxKernelBytes = 512 * 1024 * 1024;

function isBzImage(image: Uint8Array): boolean {
  if (image.length < 0x250) return false;
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  // Boot protocol 2.08 brought the payload fields.
  return view.getUint32(0x202, true) === 0x53726448 && view.getUint16(0x206, true) >= 0x208;
}

function firstWord(bytes: Uint8Array, offset: number): string | undefined {
  const text = new TextDecoder().decode(bytes.subarray(offset, offset + 128));
  return /^[A-Za-z0-9][A-Za-z0-9.+~_-]{0,99}(?=[ \0])/.exec(text)?.[0];
}

function indexOf(bytes: Uint8Array, pattern: Uint8Array): number {
  for (let at = bytes.indexOf(pattern[0] ?? 0); at >= 0; at = bytes.indexOf(pattern[0] ?? 0, at + 1))
    if (pattern.every((byte, index) => bytes[at + index] === byte)) return at;
  return -1;
}
