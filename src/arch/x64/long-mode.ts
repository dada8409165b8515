import { gpa } from "../../memory/address.ts";
import type { GuestMemory } from "../../memory/guest-memory.ts";
import type { X64EntryState, X64Segment } from "./entry-state.ts";
import { BOOT_PARAMS_START, GDT_START, PAGE_TABLES_START } from "./layout.ts";

const PRESENT_WRITABLE = 0b11;
const PAGE_SIZE_2MIB = 0x80;
const pageLength = 4096;
/** Selectors that the 64-bit boot protocol demands: __BOOT_CS 0x10, __BOOT_DS 0x18. */
const codeSelector = 0x10;
const dataSelector = 0x18;
/** Descriptors of flat 64-bit code and flat data, as AMD64 volume 2, section 4.8, lays them out. */
const gdt = [0n, 0n, 0x00af_9b00_0000_ffffn, 0x00cf_9300_0000_ffffn];

/**
 * Writes descriptor table and identity page tables for the first 4 GiB, and returns the state in which the 64-bit boot
 * protocol wants the boot processor: long mode, interrupts off, RSI at the boot parameters.
 */
export function enterLongMode(memory: GuestMemory, entry: number): X64EntryState {
  writeWords(memory, GDT_START, gdt);
  writePageTables(memory);
  const data: X64Segment = {
    selector: dataSelector,
    base: 0n,
    limit: 0xffff_ffff,
    type: 3,
    big: true,
    granular: true,
  };
  return {
    registers: { rip: BigInt(entry), rsi: BigInt(BOOT_PARAMS_START), rflags: 2n },
    control: {
      cr0: 0x8005_0033n, // PG, AM, WP, NE, ET, MP, PE
      cr3: BigInt(PAGE_TABLES_START),
      cr4: 0x20n, // PAE
      efer: 0x500n, // LMA, LME
    },
    segments: {
      cs: { selector: codeSelector, base: 0n, limit: 0xffff_ffff, type: 11, long: true, granular: true },
      ds: data,
      es: data,
      fs: data,
      gs: data,
      ss: data,
    },
    tables: { gdt: { base: BigInt(GDT_START), limit: gdt.length * 8 - 1 }, idt: { base: 0n, limit: 0 } },
  };
}

function writePageTables(memory: GuestMemory): void {
  const pdpt = PAGE_TABLES_START + pageLength;
  const directories = pdpt + pageLength;
  writeWords(memory, PAGE_TABLES_START, [BigInt(pdpt | PRESENT_WRITABLE)]);
  const directory = (index: number): bigint => BigInt((directories + index * pageLength) | PRESENT_WRITABLE);
  writeWords(memory, pdpt, [0, 1, 2, 3].map(directory));
  const page = (_: unknown, index: number): bigint =>
    BigInt(index * 2 ** 21) | BigInt(PAGE_SIZE_2MIB | PRESENT_WRITABLE);
  writeWords(memory, directories, Array.from({ length: 4 * 512 }, page));
}

function writeWords(memory: GuestMemory, start: number, words: readonly bigint[]): void {
  memory.write(gpa(start), new Uint8Array(BigUint64Array.from(words).buffer));
}
