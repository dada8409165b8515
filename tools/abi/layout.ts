/** What the generator is asked to extract from one set of C headers. */
export interface AbiDescription {
  /** The file written below `src/abi`. */
  readonly output: string;
  readonly headers: readonly string[];
  readonly structs: readonly StructDescription[];
  /** C macro names whose integer values are wanted. */
  readonly constants: readonly string[];
}

export interface StructDescription {
  /** As C spells it, without `struct`. */
  readonly name: string;
  /** C member paths; a path may reach into unions and nested structs ("mmio.phys_addr"). */
  readonly fields: readonly FieldDescription[];
}

export type FieldDescription =
  | string
  /** A 64-bit field that is known to hold fewer than 53 bits and is read on a hot path as a number. */
  | { readonly path: string; readonly as: "number" }
  /** Only the offset is wanted: an array or nested struct. */
  | { readonly path: string; readonly as: "offset" };

export interface MeasuredField {
  readonly path: string;
  readonly as: "integer" | "number" | "offset";
  readonly offset: number;
  readonly size: number;
  readonly signed: boolean;
}

export interface MeasuredStruct {
  readonly name: string;
  readonly size: number;
  readonly fields: readonly MeasuredField[];
}

/** What the compiled probe printed. */
export interface MeasuredAbi {
  /** "6.1.0" */
  readonly headerVersion: string;
  readonly structs: readonly MeasuredStruct[];
  readonly constants: readonly (readonly [name: string, value: bigint])[];
}
