import { writeFileSync } from "node:fs";
import { join } from "node:path";

/** Where the code of a tiny kernel lies, and starts. */
const start = 0x10_0000;
const headerLength = 64 + 56;

/** Guests of a few bytes, entered in 64-bit mode like a Linux kernel. */
export const tinyKernels = {
  /** hlt; jmp back */
  idle: [0xf4, 0xeb, 0xfd],
  /** jmp to itself */
  busy: [0xeb, 0xfe],
  /** ud2, with no interrupt table to handle it */
  tripleFault: [0x0f, 0x0b],
  /** mov dx, 0x600; mov al, S5 | enable; out dx, al; hlt */
  powerOff: [0x66, 0xba, 0x00, 0x06, 0xb0, 0x34, 0xee, 0xf4],
  /** next: inc qword [0x200000]; jmp next */
  counter: [0x48, 0xff, 0x04, 0x25, 0x00, 0x00, 0x20, 0x00, 0xeb, 0xf6],
  panic: printAndReset("Kernel panic - not syncing: tiny\n"),
} as const;

/** Writes an ELF file with this code as its only segment; returns its path. */
export function writeTinyKernel(folder: string, code: readonly number[]): string {
  const bytes = new Uint8Array(headerLength + code.length);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(18, 62, true); // EM_X86_64
  view.setUint32(24, start, true);
  view.setUint32(32, 64, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, 1, true);
  view.setUint32(64, 1, true); // PT_LOAD
  view.setUint32(64 + 8, headerLength, true);
  view.setUint32(64 + 24, start, true);
  view.setUint32(64 + 32, code.length, true);
  view.setUint32(64 + 40, code.length, true);
  bytes.set(code, headerLength);
  const path = join(folder, "tiny-kernel");
  writeFileSync(path, bytes);
  return path;
}

/** Prints through COM1, byte by byte, and writes to the reset register. */
function printAndReset(text: string): number[] {
  const code = [
    ...[0x48, 0x8d, 0x35, 0, 0, 0, 0], // lea rsi, [rip + distance of the text], filled in below
    ...[0x66, 0xba, 0xf8, 0x03], // mov dx, 0x3f8
    0xac, // next: lodsb
    ...[0x84, 0xc0], // test al, al
    ...[0x74, 0x03], // jz reset
    0xee, // out dx, al
    ...[0xeb, 0xf8], // jmp next
    ...[0x66, 0xba, 0x02, 0x06], // reset: mov dx, 0x602
    ...[0xb0, 0x01], // mov al, 1
    0xee, // out dx, al
    0xf4, // hlt
  ];
  code[3] = code.length - 7;
  return [...code, ...new TextEncoder().encode(text), 0];
}
