// `struct boot_params`, the "zero page": Documentation/arch/x86/zero-page.rst and boot.rst.

import type { LoadedKernel } from "./kernel-file.ts";
import { ACPI_START, COMMAND_LINE_START, CONVENTIONAL_END, HIGH_MEMORY_START, ramRegions } from "./layout.ts";
import { setupHeaderStart } from "./load-bzimage.ts";

const pageLength = 4096;
const E820_RAM = 1;
const E820_RESERVED = 2;
/** "Undefined" boot loader; a kernel ignores headers of type 0. */
const typeOfLoader = 0xff;
const LOADED_HIGH = 1;
/** The setup header's fixed room in `boot_params`: 0x1f1 up to `edd_mbr_sig_buffer` at 0x290. */
const setupHeaderRoom = 0x290 - setupHeaderStart;

export interface BootParamsInput {
  readonly kernel: LoadedKernel;
  readonly memoryBytes: number;
  readonly initramfs: { readonly start: number; readonly length: number } | undefined;
  readonly commandLineLength: number;
}

/** The page's bytes, to be written at `BOOT_PARAMS_START`. */
export function bootParams(input: BootParamsInput): Uint8Array {
  const { kernel, initramfs } = input;
  const bytes = new Uint8Array(pageLength);
  const view = new DataView(bytes.buffer);
  if (kernel.setupHeader !== undefined)
    bytes.set(kernel.setupHeader.subarray(0, setupHeaderRoom), setupHeaderStart);
  view.setUint32(0x070, ACPI_START, true); // acpi_rsdp_addr
  view.setUint16(0x1fe, 0xaa55, true); // boot_flag
  view.setUint32(0x202, 0x5372_6448, true); // header: "HdrS"
  view.setUint8(0x210, typeOfLoader);
  view.setUint8(0x211, view.getUint8(0x211) | LOADED_HIGH);
  view.setUint32(0x218, initramfs?.start ?? 0, true);
  view.setUint32(0x21c, initramfs?.length ?? 0, true);
  view.setUint32(0x228, COMMAND_LINE_START, true);
  view.setUint32(0x238, input.commandLineLength, true);
  writeE820(view, input.memoryBytes);
  return bytes;
}

function writeE820(view: DataView, memoryBytes: number): void {
  const [low, high] = ramRegions(memoryBytes);
  const entries = [
    [0, CONVENTIONAL_END, E820_RAM],
    [CONVENTIONAL_END, HIGH_MEMORY_START - CONVENTIONAL_END, E820_RESERVED],
    [HIGH_MEMORY_START, (low?.length ?? 0) - HIGH_MEMORY_START, E820_RAM],
    ...(high === undefined ? [] : [[high.start, high.length, E820_RAM]]),
  ];
  view.setUint8(0x1e8, entries.length); // e820_entries
  for (const [index, [start = 0, length = 0, type = 0]] of entries.entries()) {
    const at = 0x2d0 + index * 20;
    view.setBigUint64(at, BigInt(start), true);
    view.setBigUint64(at + 8, BigInt(length), true);
    view.setUint32(at + 16, type, true);
  }
}
