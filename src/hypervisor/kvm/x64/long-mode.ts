import { KvmSegment, KvmSregs } from "../../../abi/kvm.x64.generated.ts";

/** AMD64 Architecture Programmer's Manual, volume 2, section 3.1: control register and EFER bits. */
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

/** Space that `writeIdentityTables` fills: one page each for levels 4 and 3, then one per GiB. */
export const identityTablesLength = 0x3000;

/** Page tables at guest-physical `at` that map the first GiB onto itself with 2 MiB pages. */
export function writeIdentityTables(tables: DataView, at: number): void {
  tables.setBigUint64(0, BigInt(at + 0x1000) | PRESENT_WRITABLE, true);
  tables.setBigUint64(0x1000, BigInt(at + 0x2000) | PRESENT_WRITABLE, true);
  for (let index = 0; index < 512; index += 1)
    tables.setBigUint64(0x2000 + index * 8, (BigInt(index) << 21n) | PRESENT_WRITABLE | LARGE, true);
}

/** Changes a vCPU's reset `kvm_sregs` to 64-bit mode at privilege level 0, flat segments, interrupts off. */
export function enterLongMode(bytes: Uint8Array, pageTables: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const sregs = new KvmSregs(view);
  sregs.cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_PG;
  sregs.cr3 = BigInt(pageTables);
  sregs.cr4 = CR4_PAE;
  sregs.efer = EFER_LME | EFER_LMA;
  const { csOffset, dsOffset, esOffset, fsOffset, gsOffset, ssOffset } = KvmSregs;
  const segment = new KvmSegment(view);
  for (const offset of [csOffset, dsOffset, esOffset, fsOffset, gsOffset, ssOffset]) {
    const isCode = offset === csOffset;
    segment.at(offset);
    segment.base = 0n;
    segment.limit = 0xffff_ffff;
    segment.selector = isCode ? 0x8 : 0x10;
    segment.type = isCode ? 0xb : 0x3;
    segment.present = 1;
    segment.dpl = 0;
    segment.s = 1;
    segment.g = 1;
    segment.l = isCode ? 1 : 0;
    segment.db = isCode ? 0 : 1;
    segment.avl = 0;
    segment.unusable = 0;
  }
}
