// The Linux/x86 boot protocol, 64-bit part: Documentation/arch/x86/boot.rst, "64-bit Boot Protocol".
import type { GuestMemory } from "../../memory/guest-memory.ts";
import {
  type BootFile,
  badKernel,
  copyToGuest,
  type LoadedKernel,
  readRange,
  readU64,
} from "./kernel-file.ts";
import { HIGH_MEMORY_START, HOLE_START } from "./layout.ts";

/** "HdrS" at 0x202. */
const magicOffset = 0x202;
const magic = 0x5372_6448;
export const setupHeaderStart = 0x1f1;
const sectorLength = 512;
/** Protocol 2.12 brought `xloadflags`. */
const minVersion = 0x020c;
const XLF_KERNEL_64 = 1;
/** The 64-bit entry point is this far into the protected-mode code. */
const entryOffset = 0x200;

export function isBzImage(file: BootFile): boolean {
  return file.length > magicOffset + 4 && readRange(file, magicOffset, 4).getUint32(0, true) === magic;
}

/** Loads the protected-mode part where the kernel prefers to be; it unpacks itself there. */
export function loadBzImage(memory: GuestMemory, file: BootFile): LoadedKernel {
  const header = readRange(file, 0, 0x268);
  if (header.getUint16(0x206, true) < minVersion || (header.getUint16(0x236, true) & XLF_KERNEL_64) === 0)
    throw badKernel(file, "it has no 64-bit entry point");
  const setupSectors = header.getUint8(setupHeaderStart) || 4;
  const position = (setupSectors + 1) * sectorLength;
  const length = file.length - position;
  const address = readU64(header, 0x258);
  const initSize = header.getUint32(0x260, true);
  if (length <= entryOffset) throw badKernel(file, "it is cut short");
  if (address < HIGH_MEMORY_START || address + Math.max(length, initSize) > HOLE_START)
    throw badKernel(file, "it wants to lie outside the memory where a kernel may be");
  copyToGuest(memory, file, { position, address, length });
  // The header ends where the jump at 0x200 leads: its second byte is the distance from 0x202.
  const headerEnd = magicOffset + header.getUint8(0x201);
  return {
    entry: address + entryOffset,
    end: address + Math.max(length, initSize),
    initramfsLimit: Math.min(header.getUint32(0x22c, true) + 1, HOLE_START),
    setupHeader: new Uint8Array(
      readRange(file, setupHeaderStart, Math.max(0, headerEnd - setupHeaderStart)).buffer,
    ),
  };
}
