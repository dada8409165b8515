/** Register values of a processor about to execute its first instruction; what is absent keeps its reset value. */
export interface X64EntryState {
  readonly registers: Partial<Record<X64Register, bigint>>;
  readonly control?: Partial<Record<"cr0" | "cr3" | "cr4" | "efer", bigint>>;
  readonly segments?: Partial<Record<"cs" | "ds" | "es" | "fs" | "gs" | "ss" | "tr" | "ldt", X64Segment>>;
  readonly tables?: Partial<Record<"gdt" | "idt", { readonly base: bigint; readonly limit: number }>>;
  /** Model-specific registers by number. */
  readonly msrs?: readonly (readonly [index: number, value: bigint])[];
}

export type X64Register =
  | "rax"
  | "rbx"
  | "rcx"
  | "rdx"
  | "rsi"
  | "rdi"
  | "rsp"
  | "rbp"
  | "r8"
  | "r9"
  | "r10"
  | "r11"
  | "r12"
  | "r13"
  | "r14"
  | "r15"
  | "rip"
  | "rflags";

/** A segment register with its hidden part, as AMD64 volume 2, section 4.7, describes descriptors. */
export interface X64Segment {
  readonly selector: number;
  readonly base: bigint;
  /** In bytes, after scaling by the granularity. */
  readonly limit: number;
  readonly type: number;
  readonly present?: boolean;
  readonly privilege?: 0 | 3;
  /** False for system segments: task state, local descriptor table. */
  readonly codeOrData?: boolean;
  /** 64-bit code. */
  readonly long?: boolean;
  /** 32-bit default operand size. */
  readonly big?: boolean;
  readonly granular?: boolean;
}
