import { SupermachineError } from "../../errors/supermachine-error.ts";
import { gpa } from "../../memory/address.ts";
import type { GuestMemory } from "../../memory/guest-memory.ts";
import type { MmioDeviceSlot } from "./acpi/dsdt.ts";
import { acpiTables } from "./acpi/tables.ts";
import { bootParams } from "./boot-params.ts";
import type { X64EntryState } from "./entry-state.ts";
import { type BootFile, copyToGuest } from "./kernel-file.ts";
import {
  ACPI_START,
  BOOT_PARAMS_START,
  COMMAND_LINE_LENGTH,
  COMMAND_LINE_START,
  ramRegions,
} from "./layout.ts";
import { loadKernel } from "./load-kernel.ts";
import { enterLongMode } from "./long-mode.ts";

export interface BootInput {
  /** Must be what the memory given to `bootLinux` really has. */
  readonly memoryBytes: number;
  readonly cpus: number;
  readonly kernel: BootFile;
  readonly initramfs?: BootFile;
  readonly commandLine: string;
  readonly slots: readonly MmioDeviceSlot[];
}

/**
 * Puts a Linux kernel and all it needs to know into fresh (zeroed) guest memory, and returns where the boot processor
 * starts. The other processors wait for the guest to wake them.
 */
export function bootLinux(memory: GuestMemory, input: BootInput): X64EntryState {
  const kernel = loadKernel(memory, input.kernel);
  const initramfs = loadInitramfs(memory, input, kernel);
  const commandLine = new TextEncoder().encode(input.commandLine);
  if (commandLine.length >= COMMAND_LINE_LENGTH)
    throw new RangeError(
      `The kernel command line is ${commandLine.length} bytes; ${COMMAND_LINE_LENGTH - 1} fit`,
    );
  memory.write(gpa(COMMAND_LINE_START), commandLine);
  memory.write(gpa(ACPI_START), acpiTables({ cpus: input.cpus, slots: input.slots }));
  const { memoryBytes } = input;
  const params = bootParams({ kernel, memoryBytes, initramfs, commandLineLength: commandLine.length });
  memory.write(gpa(BOOT_PARAMS_START), params);
  return enterLongMode(memory, kernel.entry);
}

/** At the top of low memory, as far from the kernel as can be. */
function loadInitramfs(
  memory: GuestMemory,
  input: BootInput,
  kernel: { readonly end: number; readonly initramfsLimit: number },
): { start: number; length: number } | undefined {
  const { initramfs, memoryBytes } = input;
  if (initramfs === undefined) return undefined;
  const lowEnd = Math.min(ramRegions(memoryBytes)[0]?.length ?? 0, kernel.initramfsLimit);
  const start = Math.floor((lowEnd - initramfs.length) / 4096) * 4096;
  if (start < kernel.end)
    throw new SupermachineError(
      "BOOT_FAILED",
      `Kernel and initramfs do not fit into ${memoryBytes / 2 ** 20} MiB of memory`,
      {
        hint: "Give the machine more memory",
      },
    );
  copyToGuest(memory, initramfs, { position: 0, address: start, length: initramfs.length });
  return { start, length: initramfs.length };
}
