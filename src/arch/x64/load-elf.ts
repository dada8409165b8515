// ELF-64 as far as a vmlinux needs it: https://refspecs.linuxfoundation.org/elf/gabi4+/ch5.pheader.html
import type { GuestMemory } from "../../memory/guest-memory.ts";
import {
  type BootFile,
  badKernel,
  copyToGuest,
  isInside,
  type LoadedKernel,
  readRange,
  readU64,
} from "./kernel-file.ts";
import { HIGH_MEMORY_START, HOLE_START } from "./layout.ts";

const ELFCLASS64 = 2;
const ELFDATA2LSB = 1;
const EM_X86_64 = 62;
const PT_LOAD = 1;
const headerLength = 64;
const programHeaderLength = 56;
/** Linux has five; a file with many more is no kernel. */
const maxProgramHeaders = 64;

/** Loads every PT_LOAD segment at its physical address. `e_entry` of a vmlinux is physical. */
export function loadElf(memory: GuestMemory, file: BootFile): LoadedKernel {
  const header = readRange(file, 0, headerLength);
  if (header.getUint8(4) !== ELFCLASS64 || header.getUint8(5) !== ELFDATA2LSB)
    throw badKernel(file, "it is not a 64-bit little-endian ELF file");
  if (header.getUint16(18, true) !== EM_X86_64) throw badKernel(file, "it is for another instruction set");
  const entry = readU64(header, 24);
  const segments = loadSegments(file, header);
  for (const segment of segments) copyToGuest(memory, file, segment);
  if (!segments.some(({ address, memoryLength }) => entry >= address && entry < address + memoryLength))
    throw badKernel(file, "its entry point lies outside its segments");
  const end = Math.max(...segments.map(({ address, memoryLength }) => address + memoryLength));
  return { entry, end, initramfsLimit: HOLE_START };
}

interface Segment {
  readonly position: number;
  readonly address: number;
  readonly length: number;
  readonly memoryLength: number;
}

function loadSegments(file: BootFile, header: DataView): Segment[] {
  const tableStart = readU64(header, 32);
  const entryLength = header.getUint16(54, true);
  const count = header.getUint16(56, true);
  if (entryLength !== programHeaderLength || count === 0 || count > maxProgramHeaders)
    throw badKernel(file, "its program headers make no sense");
  const table = readRange(file, tableStart, count * programHeaderLength);
  const segments: Segment[] = [];
  for (let at = 0; at < count * programHeaderLength; at += programHeaderLength) {
    if (table.getUint32(at, true) !== PT_LOAD) continue;
    const segment = {
      position: readU64(table, at + 8),
      address: readU64(table, at + 24),
      length: readU64(table, at + 32),
      memoryLength: readU64(table, at + 40),
    };
    if (!isInside(file.length, segment.position, segment.length)) throw badKernel(file, "it is cut short");
    if (segment.memoryLength < segment.length) throw badKernel(file, "a segment is longer than its memory");
    if (segment.address < HIGH_MEMORY_START || segment.address + segment.memoryLength > HOLE_START)
      throw badKernel(file, "a segment lies outside the memory where a kernel may be");
    segments.push(segment);
  }
  if (segments.length === 0) throw badKernel(file, "it has nothing to load");
  return segments;
}
