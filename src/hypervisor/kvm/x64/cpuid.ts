import type { Fd } from "../../../abi/fd.ts";
import {
  KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
  KVM_GET_SUPPORTED_CPUID,
  KvmCpuid2,
  KvmCpuidEntry2,
} from "../../../abi/kvm.x64.generated.ts";
import type { CpuProfile } from "../../../arch/cpu.ts";
import { requestKvm } from "../request.ts";

/** The kernel's own limit (KVM_MAX_CPUID_ENTRIES). */
const maxEntries = 256;

/** Everything that this KVM and this processor can offer a guest, as a `kvm_cpuid2` that is cut to its length. */
export function supportedCpuid(kvm: Fd): Uint8Array {
  const bytes = new Uint8Array(KvmCpuid2.entriesOffset + maxEntries * KvmCpuidEntry2.size);
  const header = new KvmCpuid2(new DataView(bytes.buffer));
  header.nent = maxEntries;
  requestKvm(kvm, KVM_GET_SUPPORTED_CPUID, bytes);
  return bytes.slice(0, KvmCpuid2.entriesOffset + header.nent * KvmCpuidEntry2.size);
}

/** Bit numbers in leaf 1: ECX, and HTT in EDX. */
const VMX = 5;
const PDCM = 15;
const TSC_DEADLINE = 24;
const HYPERVISOR = 31;
const HTT = 28;
/** Bit numbers in leaf 8000_0001h, ECX. */
const CMP_LEGACY = 1;
const SVM = 2;
const PERFCTR_CORE = 23;
/** Of KVM's own leaf 4000_0001h, EAX (Documentation/virt/kvm/x86/cpuid.rst). */
const ASYNC_PF = 4;
const ASYNC_PF_VMEXIT = 10;
const ASYNC_PF_INT = 14;

/** One answer of the CPUID instruction. */
export interface CpuidEntry {
  readonly leaf: number;
  readonly subleaf: number;
  readonly flags: number;
  eax: number;
  ebx: number;
  ecx: number;
  edx: number;
}

/**
 * The offered `kvm_cpuid2` as one vCPU of a machine shows it: its own APIC id, the machine's topology (cores of one
 * socket), and without what a guest should not use: nested virtualisation unless asked for, performance counters, whose
 * state is large and which tell about other guests, and asynchronous page faults: the host's half of one that is under way
 * is in no snapshot, so that a copy would wait for a page that nobody brings.
 */
export function guestCpuid(
  offered: Uint8Array,
  profile: CpuProfile & { readonly tscDeadline: boolean },
): Uint8Array {
  const entries = decodeCpuid(offered).filter(({ leaf }) => leaf !== 0xb && leaf !== 0x1f);
  for (const entry of entries) patch(entry, profile);
  const highest = entries.find(({ leaf }) => leaf === 0)?.eax ?? 0;
  return encodeCpuid(highest >= 0xb ? [...entries, ...topologyLeaf(profile)] : entries);
}

function patch(entry: CpuidEntry, profile: CpuProfile & { readonly tscDeadline: boolean }): void {
  const { index, count, nested = false, tscDeadline } = profile;
  switch (entry.leaf) {
    case 0x1: {
      entry.ebx = (entry.ebx & 0xffff) | (count << 16) | (index << 24);
      entry.edx = withBit(entry.edx, HTT, count > 1);
      entry.ecx = withBit(entry.ecx, VMX, nested && isSet(entry.ecx, VMX));
      entry.ecx = withBit(entry.ecx, PDCM, false);
      entry.ecx = withBit(entry.ecx, TSC_DEADLINE, tscDeadline);
      entry.ecx = withBit(entry.ecx, HYPERVISOR, true);
      break;
    }
    case 0x4:
    case 0x8000_001d: {
      // Caches: the third level is shared by all cores, the others are private.
      const level = (entry.eax >>> 5) & 0x7;
      const sharing = level >= 3 ? count - 1 : 0;
      const cores = entry.leaf === 0x4 ? count - 1 : 0;
      entry.eax = (entry.eax & 0x3fff) | (sharing << 14) | (cores << 26);
      break;
    }
    case 0xa:
      clear(entry);
      break;
    case 0x4000_0001:
      for (const bit of [ASYNC_PF, ASYNC_PF_VMEXIT, ASYNC_PF_INT]) entry.eax = withBit(entry.eax, bit, false);
      break;
    case 0x8000_0001: {
      entry.ecx = withBit(entry.ecx, CMP_LEGACY, count > 1);
      entry.ecx = withBit(entry.ecx, SVM, nested && isSet(entry.ecx, SVM));
      entry.ecx = withBit(entry.ecx, PERFCTR_CORE, false);
      break;
    }
    case 0x8000_0008:
      entry.ecx = (entry.ecx & ~0xf0ff) | (idBits(count) << 12) | (count - 1);
      break;
    case 0x8000_000a:
      if (!nested) clear(entry);
      break;
    case 0x8000_001e:
      entry.eax = index;
      entry.ebx = index & 0xff;
      entry.ecx = 0;
      break;
  }
}

/** Intel SDM volume 2A, CPUID leaf 0BH: one thread per core, `count` cores, then the end of the list. */
function topologyLeaf({ index, count }: CpuProfile): CpuidEntry[] {
  const base = { leaf: 0xb, flags: KVM_CPUID_FLAG_SIGNIFCANT_INDEX, edx: index };
  const SMT = 1 << 8;
  const CORE = 2 << 8;
  return [
    { ...base, subleaf: 0, eax: 0, ebx: 1, ecx: SMT },
    { ...base, subleaf: 1, eax: idBits(count), ebx: count, ecx: CORE | 1 },
    { ...base, subleaf: 2, eax: 0, ebx: 0, ecx: 2 },
  ];
}

/** Bits of an APIC id that number the cores. */
function idBits(count: number): number {
  return Math.ceil(Math.log2(count));
}

function withBit(value: number, bit: number, on: boolean): number {
  return on ? value | (1 << bit) : value & ~(1 << bit);
}

function isSet(value: number, bit: number): boolean {
  return ((value >>> bit) & 1) === 1;
}

function clear(entry: CpuidEntry): void {
  entry.eax = 0;
  entry.ebx = 0;
  entry.ecx = 0;
  entry.edx = 0;
}

export function decodeCpuid(bytes: Uint8Array): CpuidEntry[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const cursor = new KvmCpuidEntry2(view);
  return Array.from({ length: new KvmCpuid2(view).nent }, (_, index) => {
    cursor.at(KvmCpuid2.entriesOffset + index * KvmCpuidEntry2.size);
    const { function: leaf, index: subleaf, flags, eax, ebx, ecx, edx } = cursor;
    return { leaf, subleaf, flags, eax, ebx, ecx, edx };
  });
}

export function encodeCpuid(entries: readonly CpuidEntry[]): Uint8Array {
  const bytes = new Uint8Array(KvmCpuid2.entriesOffset + entries.length * KvmCpuidEntry2.size);
  const view = new DataView(bytes.buffer);
  new KvmCpuid2(view).nent = entries.length;
  const cursor = new KvmCpuidEntry2(view);
  for (const [index, { leaf, subleaf, flags, eax, ebx, ecx, edx }] of entries.entries()) {
    cursor.at(KvmCpuid2.entriesOffset + index * KvmCpuidEntry2.size);
    Object.assign(cursor, { function: leaf, index: subleaf, flags, eax, ebx, ecx, edx });
  }
  return bytes;
}
