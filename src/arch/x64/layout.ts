// The x64 machine's guest-physical address space and ports: every address that more than one part must agree on.

/** Global descriptor table of the entry state: four entries of 8 bytes. */
export const GDT_START = 0x500;
/** Linux `boot_params`, one page (Documentation/arch/x86/zero-page.rst). */
export const BOOT_PARAMS_START = 0x7000;
/** Page tables of the entry state: one PML4, one PDPT, four page directories of 2 MiB pages: 6 pages. */
export const PAGE_TABLES_START = 0x9000;
/** The kernel command line; ends before the conventional memory does. */
export const COMMAND_LINE_START = 0x2_0000;
/** Longest command line with its NUL; Linux's own limit on x86 (COMMAND_LINE_SIZE). */
export const COMMAND_LINE_LENGTH = 2048;
/** End of conventional memory; from here to 1 MiB is what a PC calls BIOS area. */
export const CONVENTIONAL_END = 0x9_fc00;
/** ACPI tables, inside the area that a guest scans for the RSDP. */
export const ACPI_START = 0xe_0000;
export const ACPI_END = 0x10_0000;
/** Where memory proper begins, and the lowest address of a kernel. */
export const HIGH_MEMORY_START = 0x10_0000;

/** RAM ends here and goes on at `HOLE_END`: room for devices below 4 GiB. */
export const HOLE_START = 0xc000_0000;
export const HOLE_END = 0x1_0000_0000;
/** The virtio-mmio registers of slot n are at `VIRTIO_MMIO_START + n * VIRTIO_MMIO_STRIDE`. */
export const VIRTIO_MMIO_START = 0xd000_0000;
export const VIRTIO_MMIO_STRIDE = 0x1000;
export const IOAPIC_START = 0xfec0_0000;
export const LAPIC_START = 0xfee0_0000;
/**
 * On Intel processors KVM borrows four pages: an identity page table and a task state segment of three. They lie below
 * the reset vector, where no machine has memory or devices.
 */
export const KVM_IDENTITY_MAP_START = 0xfffb_c000;
export const KVM_TSS_START = 0xfffb_d000;

/** Interrupts: COM1 has its traditional one; slot n of virtio-mmio has `VIRTIO_GSI_START + n`. The IOAPIC has 24. */
export const COM1_GSI = 4;
export const VIRTIO_GSI_START = 6;
export const VIRTIO_SLOTS = 18;

export const COM1_PORT = 0x3f8;
/** ACPI sleep control and status registers, and the reset register. */
export const SLEEP_CONTROL_PORT = 0x600;
export const SLEEP_STATUS_PORT = 0x601;
export const RESET_PORT = 0x602;
/** Written here with bit 5 set, the sleep type below powers the machine off (ACPI 6.4, section 4.8.3.7). */
export const SLEEP_TYPE_S5 = 5;
export const RESET_VALUE = 1;
/** Command port of the PC's keyboard controller, by which a kernel without ACPI resets. */
export const KEYBOARD_PORT = 0x64;

/** The pieces of RAM of a machine with this much memory. */
export function ramRegions(
  memoryBytes: number,
): readonly { readonly start: number; readonly length: number }[] {
  const low = { start: 0, length: Math.min(memoryBytes, HOLE_START) };
  if (memoryBytes <= HOLE_START) return [low];
  return [low, { start: HOLE_END, length: memoryBytes - HOLE_START }];
}

/** First address above all RAM that is aligned for a pmem region: the kernel adds memory in blocks of 128 MiB. */
export function pmemStart(memoryBytes: number): number {
  const block = 128 * 2 ** 20;
  const end = memoryBytes <= HOLE_START ? HOLE_END : HOLE_END + memoryBytes - HOLE_START;
  return Math.ceil(end / block) * block;
}
