// Which CPUID bits a guest may rely on. Intel SDM volume 2A, "CPUID"; AMD APM volume 3, appendix E.

/** One answer of the CPUID instruction; the hypervisor's CPUID code has such objects. */
export interface CpuidAnswer {
  readonly leaf: number;
  readonly subleaf: number;
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
}

type Register = "eax" | "ebx" | "ecx" | "edx";

interface FeatureWord {
  readonly name: string;
  readonly leaf: number;
  readonly subleaf: number;
  readonly register: Register;
  /** Bits that follow from the state or the place of a processor and say nothing about what it can do. */
  readonly ignored?: number;
}

const words: readonly FeatureWord[] = [
  // OSXSAVE follows CR4.
  { name: "1.ecx", leaf: 1, subleaf: 0, register: "ecx", ignored: bits(27) },
  // APIC follows the base register's enable bit, HTT the machine's topology.
  { name: "1.edx", leaf: 1, subleaf: 0, register: "edx", ignored: bits(9, 28) },
  { name: "6.eax", leaf: 6, subleaf: 0, register: "eax" },
  { name: "7.0.ebx", leaf: 7, subleaf: 0, register: "ebx" },
  // OSPKE follows CR4.
  { name: "7.0.ecx", leaf: 7, subleaf: 0, register: "ecx", ignored: bits(4) },
  { name: "7.0.edx", leaf: 7, subleaf: 0, register: "edx" },
  { name: "7.1.eax", leaf: 7, subleaf: 1, register: "eax" },
  { name: "7.1.edx", leaf: 7, subleaf: 1, register: "edx" },
  { name: "d.0.eax", leaf: 0xd, subleaf: 0, register: "eax" },
  { name: "d.1.eax", leaf: 0xd, subleaf: 1, register: "eax" },
  // CMP_LEGACY follows the topology.
  { name: "80000001.ecx", leaf: 0x8000_0001, subleaf: 0, register: "ecx", ignored: bits(1) },
  { name: "80000001.edx", leaf: 0x8000_0001, subleaf: 0, register: "edx", ignored: bits(9) },
  { name: "80000007.edx", leaf: 0x8000_0007, subleaf: 0, register: "edx" },
  { name: "80000008.ebx", leaf: 0x8000_0008, subleaf: 0, register: "ebx" },
];

/** Vendor and feature words of a processor, from its answers to CPUID as a guest gets them. */
export function cpuFeatures(answers: readonly CpuidAnswer[]): {
  vendor: string;
  features: Record<string, number>;
} {
  const find = (leaf: number, subleaf: number): CpuidAnswer | undefined =>
    answers.find((answer) => answer.leaf === leaf && answer.subleaf === subleaf);
  const identity = find(0, 0);
  const features: Record<string, number> = {};
  for (const { name, leaf, subleaf, register, ignored = 0 } of words)
    features[name] = ((find(leaf, subleaf)?.[register] ?? 0) & ~ignored) >>> 0;
  return {
    vendor: identity === undefined ? "" : [identity.ebx, identity.edx, identity.ecx].map(letters).join(""),
    features,
  };
}

/** Names of the features that `wanted` has and `offered` has not, in the words of Linux's /proc/cpuinfo where it has one. */
export function missingFeatures(
  wanted: Readonly<Record<string, number>>,
  offered: Readonly<Record<string, number>>,
): string[] {
  const missing: string[] = [];
  for (const [word, value] of Object.entries(wanted)) {
    const absent = value & ~(Object.hasOwn(offered, word) ? (offered[word] ?? 0) : 0);
    for (let bit = 0; bit < 32; bit++) if ((absent >>> bit) & 1) missing.push(featureName(word, bit));
  }
  return missing;
}

function featureName(word: string, bit: number): string {
  const known = Object.hasOwn(names, word) ? names[word]?.[bit] : undefined;
  return known ?? `bit ${bit} of CPUID ${word}`;
}

/** Those that differ between processors of the last ten years; the others are shown by number. */
const names: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  "1.ecx": {
    1: "pclmulqdq",
    5: "vmx",
    9: "ssse3",
    12: "fma",
    13: "cx16",
    17: "pcid",
    19: "sse4_1",
    20: "sse4_2",
    21: "x2apic",
    22: "movbe",
    23: "popcnt",
    24: "tsc_deadline_timer",
    25: "aes",
    26: "xsave",
    28: "avx",
    29: "f16c",
    30: "rdrand",
  },
  "7.0.ebx": {
    0: "fsgsbase",
    3: "bmi1",
    4: "hle",
    5: "avx2",
    7: "smep",
    8: "bmi2",
    9: "erms",
    10: "invpcid",
    11: "rtm",
    16: "avx512f",
    17: "avx512dq",
    18: "rdseed",
    19: "adx",
    20: "smap",
    21: "avx512ifma",
    23: "clflushopt",
    24: "clwb",
    28: "avx512cd",
    29: "sha_ni",
    30: "avx512bw",
    31: "avx512vl",
  },
  "7.0.ecx": {
    1: "avx512vbmi",
    2: "umip",
    3: "pku",
    5: "waitpkg",
    6: "avx512_vbmi2",
    8: "gfni",
    9: "vaes",
    10: "vpclmulqdq",
    11: "avx512_vnni",
    12: "avx512_bitalg",
    14: "avx512_vpopcntdq",
    16: "la57",
    22: "rdpid",
    27: "movdiri",
    28: "movdir64b",
  },
  "7.0.edx": {
    4: "fsrm",
    10: "md_clear",
    14: "serialize",
    22: "amx_bf16",
    23: "avx512_fp16",
    24: "amx_tile",
    25: "amx_int8",
    26: "spec_ctrl",
    27: "intel_stibp",
    28: "flush_l1d",
    29: "arch_capabilities",
    31: "spec_ctrl_ssbd",
  },
  "7.1.eax": { 4: "avx_vnni", 5: "avx512_bf16" },
  "d.1.eax": { 0: "xsaveopt", 1: "xsavec", 2: "xgetbv1", 3: "xsaves" },
  "80000001.ecx": { 0: "lahf_lm", 2: "svm", 5: "abm", 6: "sse4a", 8: "3dnowprefetch", 16: "fma4" },
  "80000001.edx": { 20: "nx", 26: "pdpe1gb", 27: "rdtscp", 29: "lm" },
  "80000007.edx": { 8: "constant_tsc" },
  "80000008.ebx": { 0: "clzero", 9: "wbnoinvd", 12: "amd_ibpb", 14: "amd_ibrs", 15: "amd_stibp" },
};

/** A register as four letters. */
function letters(value: number): string {
  return String.fromCharCode(...[0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff)).replace(
    /[^\x20-\x7e]/g,
    "",
  );
}

function bits(...numbers: readonly number[]): number {
  return numbers.reduce((mask, bit) => mask | (1 << bit), 0);
}
