// ACPI 6.4, chapter 5: a hardware-reduced machine (section 4.1), described by RSDP, XSDT, FADT, MADT and DSDT.
import {
  ACPI_END,
  ACPI_START,
  IOAPIC_START,
  LAPIC_START,
  RESET_PORT,
  RESET_VALUE,
  SLEEP_CONTROL_PORT,
  SLEEP_STATUS_PORT,
} from "../layout.ts";
import { ascii } from "./aml.ts";
import { dsdtBody, type MmioDeviceSlot } from "./dsdt.ts";

export interface AcpiInput {
  readonly cpus: number;
  readonly slots: readonly MmioDeviceSlot[];
}

const headerLength = 36;
const rsdpLength = 36;
/** Exactly six and eight characters. */
const oemId = "SUPERM";
const oemTableId = "MACHINE0";
const creatorId = "SMCH";

const FADT_WBINVD = 1 << 0;
const FADT_PWR_BUTTON = 1 << 4;
const FADT_SLP_BUTTON = 1 << 5;
const FADT_RESET_REG_SUP = 1 << 10;
const FADT_HW_REDUCED_ACPI = 1 << 20;
/** IAPC_BOOT_ARCH: no VGA to probe, no CMOS clock; the absent 8042 bit says there is no keyboard controller. */
const BOOT_ARCH_NO_VGA_NO_RTC = (1 << 2) | (1 << 5);

/** All tables, laid out for `ACPI_START`: the RSDP comes first, each table starts at a multiple of 16. */
export function acpiTables({ cpus, slots }: AcpiInput): Uint8Array {
  const image = new Uint8Array(ACPI_END - ACPI_START);
  let end = alignUp(rsdpLength);
  const place = (table: Uint8Array): number => {
    if (end + table.length > image.length) throw new RangeError("The ACPI tables do not fit their room");
    const start = end;
    image.set(table, start);
    end = alignUp(start + table.length);
    return ACPI_START + start;
  };
  const dsdt = place(table("DSDT", 2, dsdtBody(slots)));
  const fadt = place(table("FACP", 6, fadtBody(dsdt)));
  const madt = place(table("APIC", 5, madtBody(cpus)));
  const xsdt = place(table("XSDT", 1, new Uint8Array(BigUint64Array.of(BigInt(fadt), BigInt(madt)).buffer)));
  image.set(rsdp(xsdt), 0);
  return image.slice(0, end);
}

/** A table with the header that all but the RSDP share (section 5.2.6). */
function table(signature: string, revision: number, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(headerLength + body.length);
  const view = new DataView(bytes.buffer);
  bytes.set(ascii(signature), 0);
  view.setUint32(4, bytes.length, true);
  bytes[8] = revision;
  bytes.set(ascii(oemId), 10);
  bytes.set(ascii(oemTableId), 16);
  view.setUint32(24, 1, true);
  bytes.set(ascii(creatorId), 28);
  view.setUint32(32, 1, true);
  bytes.set(body, headerLength);
  bytes[9] = checksum(bytes);
  return bytes;
}

/** Section 5.2.5.3. The first checksum covers the 20 bytes of version 1. */
function rsdp(xsdt: number): Uint8Array {
  const bytes = new Uint8Array(rsdpLength);
  const view = new DataView(bytes.buffer);
  bytes.set(ascii("RSD PTR "), 0);
  bytes.set(ascii(oemId), 9);
  bytes[15] = 2;
  view.setUint32(20, rsdpLength, true);
  view.setBigUint64(24, BigInt(xsdt), true);
  bytes[8] = checksum(bytes.subarray(0, 20));
  bytes[32] = checksum(bytes);
  return bytes;
}

/** Section 5.2.9; offsets are those of the whole table, less the header. */
function fadtBody(dsdt: number): Uint8Array {
  const bytes = new Uint8Array(276 - headerLength);
  const view = new DataView(bytes.buffer, 0);
  const at = (offset: number): number => offset - headerLength;
  view.setUint32(at(40), dsdt, true);
  view.setUint16(at(109), BOOT_ARCH_NO_VGA_NO_RTC, true);
  const flags = FADT_WBINVD | FADT_PWR_BUTTON | FADT_SLP_BUTTON | FADT_RESET_REG_SUP | FADT_HW_REDUCED_ACPI;
  view.setUint32(at(112), flags, true);
  bytes.set(portRegister(RESET_PORT), at(116));
  view.setUint8(at(128), RESET_VALUE);
  view.setUint8(at(131), 4); // minor version: 6.4
  view.setBigUint64(at(140), BigInt(dsdt), true);
  bytes.set(portRegister(SLEEP_CONTROL_PORT), at(244));
  bytes.set(portRegister(SLEEP_STATUS_PORT), at(256));
  return bytes;
}

/** A generic address structure (section 5.2.3.2): one byte in I/O space. */
function portRegister(port: number): Uint8Array {
  return Uint8Array.of(1, 8, 0, 1, port & 0xff, port >> 8, 0, 0, 0, 0, 0, 0);
}

/** Section 5.2.12: one local APIC per processor, and the IOAPIC from GSI 0 on. */
function madtBody(cpus: number): Uint8Array {
  const bytes = new Uint8Array(8 + cpus * 8 + 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, LAPIC_START, true);
  for (let index = 0; index < cpus; index++) bytes.set([0, 8, index, index, 1, 0, 0, 0], 8 + index * 8);
  const ioApic = 8 + cpus * 8;
  bytes.set([1, 12, cpus, 0], ioApic);
  view.setUint32(ioApic + 4, IOAPIC_START, true);
  return bytes;
}

function checksum(bytes: Uint8Array): number {
  return -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
}

function alignUp(length: number): number {
  return Math.ceil(length / 16) * 16;
}
