import { type Gpa, gpa } from "./address.ts";
import { MappedMemory } from "./mapped-memory.ts";

/**
 * Guest memory in ordinary JavaScript buffers, for device tests and the software backend.
 *
 * @example
 * ```ts
 * const memory = new HeapMemory([{ start: gpa(0), length: 0x10000 }]);
 * memory.setU32(gpa(0x100), 42);
 * ```
 */
export class HeapMemory extends MappedMemory {
  constructor(
    regions: readonly { readonly start: Gpa; readonly length: number; readonly readOnly?: boolean }[],
  ) {
    super(
      regions.map(({ start, length, readOnly = false }) => {
        const buffer = new ArrayBuffer(length);
        const bytes = (offset: number, count: number): Uint8Array => new Uint8Array(buffer, offset, count);
        return { start: gpa(start), length, readOnly, bytes };
      }),
    );
  }
}
