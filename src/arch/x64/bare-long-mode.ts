// AMD64 Architecture Programmer's Manual, volume 2: control registers and EFER (3.1), segment descriptors (4.8),
// long-mode page translation (5.3).
import type { X64EntryState, X64Segment } from "./entry-state.ts";

const CR0_PE = 0x1n;
const CR0_ET = 0x10n;
const CR0_NE = 0x20n;
const CR0_PG = 0x8000_0000n;
const CR4_PAE = 0x20n;
const EFER_LME = 0x100n;
const EFER_LMA = 0x400n;

/** Page table entries: present, writable, and "this entry maps a page" (2 MiB at the third level). */
const PRESENT_WRITABLE = 0x3n;
const LARGE = 0x80n;

const flat = { base: 0n, limit: 0xffff_ffff, granular: true };
const code: X64Segment = { ...flat, selector: 0x8, type: 0xb, long: true };
const data: X64Segment = { ...flat, selector: 0x10, type: 0x3, big: true };

/**
 * 64-bit mode at privilege level 0 with flat segments, interrupts off and no descriptor table: enough for a few
 * instructions of our own. The caller adds registers.
 */
export function bareLongMode(pageTables: number): Omit<X64EntryState, "registers"> {
  return {
    control: {
      cr0: CR0_PE | CR0_ET | CR0_NE | CR0_PG,
      cr3: BigInt(pageTables),
      cr4: CR4_PAE,
      efer: EFER_LME | EFER_LMA,
    },
    segments: { cs: code, ds: data, es: data, fs: data, gs: data, ss: data },
  };
}

/** Space that `writeIdentityTables` fills: one page for each of the levels 4, 3 and 2. */
export const identityTablesLength: number = 0x3000;

/** Fills `tables`, which the guest sees at physical `at`, with a map of the first GiB onto itself in 2 MiB pages. */
export function writeIdentityTables(tables: Uint8Array, at: number): void {
  const view = new DataView(tables.buffer, tables.byteOffset, identityTablesLength);
  view.setBigUint64(0, BigInt(at + 0x1000) | PRESENT_WRITABLE, true);
  view.setBigUint64(0x1000, BigInt(at + 0x2000) | PRESENT_WRITABLE, true);
  for (let index = 0; index < 512; index += 1)
    view.setBigUint64(0x2000 + index * 8, (BigInt(index) << 21n) | PRESENT_WRITABLE | LARGE, true);
}
