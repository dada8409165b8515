// A small assembler for ACPI Machine Language: ACPI 6.4, chapter 20 (encoding) and section 6.4 (resource descriptors).

export type Aml = readonly number[];

/** Name(name, value) */
export function amlName(name: string, value: Aml): Aml {
  return [0x08, ...nameString(name), ...value];
}

/** Scope(name) { body } */
export function amlScope(name: string, body: readonly Aml[]): Aml {
  return [0x10, ...withLength([...nameString(name), ...body.flat()])];
}

/** Device(name) { body } */
export function amlDevice(name: string, body: readonly Aml[]): Aml {
  return [0x5b, 0x82, ...withLength([...nameString(name), ...body.flat()])];
}

export function amlInteger(value: number): Aml {
  if (value === 0) return [0x00];
  if (value === 1) return [0x01];
  if (value <= 0xff) return [0x0a, value];
  if (value <= 0xffff) return [0x0b, ...littleEndian(value, 2)];
  if (value <= 0xffff_ffff) return [0x0c, ...littleEndian(value, 4)];
  return [0x0e, ...littleEndian(value, 8)];
}

export function amlString(text: string): Aml {
  return [0x0d, ...ascii(text), 0];
}

export function amlPackage(elements: readonly Aml[]): Aml {
  return [0x12, ...withLength([elements.length, ...elements.flat()])];
}

/** ResourceTemplate() { descriptors }: a buffer that closes with an end tag whose checksum is not used. */
export function amlResources(descriptors: readonly Aml[]): Aml {
  const bytes = [...descriptors.flat(), 0x79, 0x00];
  return [0x11, ...withLength([...amlInteger(bytes.length), ...bytes])];
}

/** Memory32Fixed(ReadWrite, start, length): section 6.4.3.4. */
export function fixedMemory32(start: number, length: number): Aml {
  return [0x86, 9, 0, 1, ...littleEndian(start, 4), ...littleEndian(length, 4)];
}

/** Interrupt(ResourceConsumer, Edge, ActiveHigh, Exclusive) { gsi }: section 6.4.3.6. */
export function edgeInterrupt(gsi: number): Aml {
  return [0x89, 6, 0, 0b0011, 1, ...littleEndian(gsi, 4)];
}

/** IO(Decode16, port, port, 1, length): section 6.4.2.5. */
export function ioPorts(port: number, length: number): Aml {
  return [0x47, 1, ...littleEndian(port, 2), ...littleEndian(port, 2), 1, length];
}

/** Number as bytes, lowest first. */
export function littleEndian(value: number, width: number): number[] {
  return Array.from({ length: width }, (_, index) => Math.floor(value / 2 ** (8 * index)) % 256);
}

export function ascii(text: string): number[] {
  return [...text].map((character) => character.charCodeAt(0));
}

/** Segments of exactly four characters, padded with "_"; a leading backslash is the root. */
function nameString(name: string): number[] {
  const root = name.startsWith("\\") ? [0x5c] : [];
  const segment = name.replace("\\", "").padEnd(4, "_");
  if (!/^[A-Z_][A-Z0-9_]{3}$/.test(segment)) throw new RangeError(`Not an ACPI name: '${name}'`);
  return [...root, ...ascii(segment)];
}

/** PkgLength counts itself (section 20.2.4): 6 bits in one byte, or 4 bits and 8 more for each byte that follows. */
function withLength(body: readonly number[]): number[] {
  if (body.length + 1 < 64) return [body.length + 1, ...body];
  const extra = body.length + 2 < 2 ** 12 ? 1 : 2;
  const length = body.length + 1 + extra;
  return [(extra << 6) | (length & 15), ...littleEndian(length >> 4, extra), ...body];
}
