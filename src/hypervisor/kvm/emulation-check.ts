import type { Fd } from "../../abi/fd.ts";
import {
  KVM_CREATE_VCPU,
  KVM_CREATE_VM,
  KVM_EXIT_HLT,
  KVM_EXIT_IO,
  KVM_GET_VCPU_MMAP_SIZE,
  KVM_RUN,
  KVM_SET_CPUID2,
  KVM_SET_USER_MEMORY_REGION,
  KvmRun,
  KvmUserspaceMemoryRegion,
} from "../../abi/kvm.x64.generated.ts";
import { MAP_SHARED, PROT_READ, PROT_WRITE } from "../../abi/linux.x64.generated.ts";
import { bareLongMode, writeIdentityTables } from "../../arch/x64/bare-long-mode.ts";
import { OwnedFd } from "../../sys/linux/file.ts";
import { ioctl } from "../../sys/linux/ioctl.ts";
import { Mapping } from "../../sys/linux/mapping.ts";
import { requestKvm } from "./request.ts";
import { supportedCpuid } from "./x64/cpuid.ts";
import { applyEntryState } from "./x64/entry.ts";

const memoryLength = 0x8000;
const tablesAt = 0x1000;
const loopAt = 0x4000;
const exoticAt = 0x4100;
const operandAt = 0x5000;

// biome-ignore format: one instruction per line
const loopCode = [
  0xe6, 0x10,                   // out 0x10, al       the host takes the time, and again
  0xb9, 0xe8, 0x03, 0x00, 0x00, // mov ecx, 1000
  0xff, 0xc9,                   // again: dec ecx
  0x75, 0xfc,                   // jnz again
  0xe6, 0x11,                   // out 0x11, al       here
  0xeb, 0xf1,                   // jmp to the start
];
// biome-ignore format: one instruction per line
const exoticCode = [
  0xf0, 0x48, 0x0f, 0xc7, 0x0f, // lock cmpxchg16b [rdi]
  0xf4,                         // hlt
];

const chunkIterations = 1000;
const maxChunks = 20;
const budgetMs = 50;
/**
 * Nanoseconds per iteration of two instructions above which guest code is being interpreted. Hardware takes 0.3 to 2;
 * a KVM inside an emulated machine (whose translator compiles the loop) 2 to 50, depending on load; a KVM that
 * emulates kernel mode instruction by instruction 1250. This is the geometric middle of the last two.
 */
const slowestIterationNs = 250;

/**
 * Some hosts offer a /dev/kvm that answers every ioctl but interprets guest code in kernel mode, incompletely and at
 * about a million instructions a second, so that no real kernel can boot. Returns what gives that away, or
 * `undefined` for a KVM that executes guest code. Takes well under a millisecond on hardware; throws when a request
 * is refused.
 */
export function findEmulation(kvm: Fd): string | undefined {
  using vm = new OwnedFd(requestKvm(kvm, KVM_CREATE_VM));
  using memory = Mapping.anonymous(memoryLength);
  const bytes = memory.bytes();
  writeIdentityTables(bytes.subarray(tablesAt), tablesAt);
  bytes.set(loopCode, loopAt);
  bytes.set(exoticCode, exoticAt);
  addMemory(vm.fd, memory);
  using vcpu = new OwnedFd(requestKvm(vm.fd, KVM_CREATE_VCPU, 0));
  using runPage = Mapping.map(requestKvm(kvm, KVM_GET_VCPU_MMAP_SIZE), {
    protection: PROT_READ | PROT_WRITE,
    flags: MAP_SHARED,
    fd: vcpu.fd,
  });
  const run = new KvmRun(new DataView(runPage.bytes().buffer));
  requestKvm(vcpu.fd, KVM_SET_CPUID2, supportedCpuid(kvm));
  return missingInstruction(vcpu.fd, run) ?? slowLoop(vcpu.fd, run);
}

function missingInstruction(vcpu: Fd, run: KvmRun): string | undefined {
  setInstructionPointer(vcpu, exoticAt);
  const result = ioctl(vcpu, KVM_RUN);
  return result === 0 && run.exitReason === KVM_EXIT_HLT ? undefined : "it does not execute cmpxchg16b";
}

/** The fastest of several short runs counts, because a busy host can only make them slower. */
function slowLoop(vcpu: Fd, run: KvmRun): string | undefined {
  setInstructionPointer(vcpu, loopAt);
  if (!runToPort(vcpu, run)) return "it does not execute a simple loop";
  const start = performance.now();
  let fastestLoopMs = Number.POSITIVE_INFINITY;
  let fastestExitMs = Number.POSITIVE_INFINITY;
  for (let chunk = 0; chunk < maxChunks && performance.now() - start < budgetMs; chunk += 1) {
    const before = performance.now();
    if (!runToPort(vcpu, run)) return "it does not execute a simple loop";
    const between = performance.now();
    if (!runToPort(vcpu, run)) return "it does not execute a simple loop";
    fastestLoopMs = Math.min(fastestLoopMs, between - before);
    fastestExitMs = Math.min(fastestExitMs, performance.now() - between);
    const iterationNs = ((fastestLoopMs - fastestExitMs) * 1e6) / chunkIterations;
    if (iterationNs < slowestIterationNs) return undefined;
  }
  const perSecond = (2 * chunkIterations) / (fastestLoopMs - fastestExitMs) / 1000;
  return `it interprets guest code, at ${perSecond.toFixed(1)} million instructions a second`;
}

function runToPort(vcpu: Fd, run: KvmRun): boolean {
  return ioctl(vcpu, KVM_RUN) === 0 && run.exitReason === KVM_EXIT_IO;
}

function setInstructionPointer(vcpu: Fd, at: number): void {
  // Bit 1 of RFLAGS is always one; everything else off, interrupts included.
  const registers = { rip: BigInt(at), rdi: BigInt(operandAt), rflags: 0x2n };
  applyEntryState(vcpu, { ...bareLongMode(tablesAt), registers });
}

function addMemory(vm: Fd, memory: Mapping): void {
  const bytes = new Uint8Array(KvmUserspaceMemoryRegion.size);
  const region = new KvmUserspaceMemoryRegion(new DataView(bytes.buffer));
  region.memorySize = memory.length;
  region.userspaceAddr = memory.address;
  requestKvm(vm, KVM_SET_USER_MEMORY_REGION, bytes);
}
