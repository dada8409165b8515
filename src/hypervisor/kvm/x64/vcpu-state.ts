import type { Fd } from "../../../abi/fd.ts";
import * as abi from "../../../abi/kvm.x64.generated.ts";
import { SupermachineError } from "../../../errors/supermachine-error.ts";
import { ioctl } from "../../../sys/linux/ioctl.ts";
import { type BackendState, requireChunk, requireState } from "../../state.ts";
import { requestKvm } from "../request.ts";
import { decodeMsrs, encodeMsrs, readMsrs, writeMsrs } from "./msrs.ts";
import type { VcpuTraits } from "./vcpu-traits.ts";

/** Kernel structures of fixed size that are fetched and put back whole. */
interface Part {
  readonly name: string;
  readonly length: number;
  readonly get: number;
  readonly set: number;
}

const MSR_IA32_TSC_DEADLINE = 0x6e0;

/** Everything a vCPU is made of. It must not be running, nor be inside an access. */
export function saveVcpuState(vcpu: Fd, traits: VcpuTraits): BackendState {
  const chunks = new Map<string, Uint8Array>();
  // The run state first: asking for it makes KVM act on a pending INIT or SIPI, which changes the rest.
  for (const { name, length, get } of parts(traits)) {
    const bytes = new Uint8Array(length);
    requestKvm(vcpu, get, bytes);
    chunks.set(name, bytes);
  }
  chunks.set("cpuid", readCpuid(vcpu, traits));
  chunks.set("msrs", encodeMsrs(readMsrs(vcpu, orderedMsrs(traits))));
  chunks.set("tsc-khz", u32Bytes(Math.max(0, ioctl(vcpu, abi.KVM_GET_TSC_KHZ))));
  return { backend: "kvm", subject: "vcpu", chunks };
}

/** Into a vCPU that is fresh, or that was saved and does not run. */
export function restoreVcpuState(vcpu: Fd, traits: VcpuTraits, state: BackendState): void {
  requireState(state, "kvm", "vcpu");
  // All is checked before anything is changed.
  const byName = new Map(parts(traits).map((part) => [part.name, chunkOf(part, state)]));
  const msrs = checkedMsrs(requireChunk(state, "msrs"));
  const cpuid = checkedCpuid(requireChunk(state, "cpuid"));
  const tscKHz = requireChunk(state, "tsc-khz", 4);
  // What the processor is decides which values the rest may have.
  requestKvm(vcpu, abi.KVM_SET_CPUID2, cpuid);
  restoreTscRate(vcpu, tscKHz);
  for (const name of ["mp-state", "regs", "sregs", "xsave", "xcrs", "debugregs", "lapic"])
    byName.get(name)?.apply(vcpu);
  // After the local APIC, because the deadline's meaning depends on the timer's mode.
  writeMsrs(vcpu, msrs);
  // Last: the requests before may queue or drop events.
  byName.get("events")?.apply(vcpu);
  // Tells the guest's watchdogs that it was stopped. Refused, rightly, when the guest has no paravirtual clock.
  ioctl(vcpu, abi.KVM_KVMCLOCK_CTRL);
}

function chunkOf({ name, set, length }: Part, state: BackendState): { apply(vcpu: Fd): void } {
  const bytes = requireChunk(state, name, length);
  return { apply: (vcpu) => requestKvm(vcpu, set, bytes) };
}

function parts({ xsaveLength, kernelIrqChip }: VcpuTraits): Part[] {
  const getXsave = xsaveLength > abi.KvmXsave.size ? abi.KVM_GET_XSAVE2 : abi.KVM_GET_XSAVE;
  return [
    { name: "mp-state", length: abi.KvmMpState.size, get: abi.KVM_GET_MP_STATE, set: abi.KVM_SET_MP_STATE },
    { name: "regs", length: abi.KvmRegs.size, get: abi.KVM_GET_REGS, set: abi.KVM_SET_REGS },
    { name: "sregs", length: abi.KvmSregs.size, get: abi.KVM_GET_SREGS, set: abi.KVM_SET_SREGS },
    { name: "xsave", length: xsaveLength, get: getXsave, set: abi.KVM_SET_XSAVE },
    { name: "xcrs", length: abi.KvmXcrs.size, get: abi.KVM_GET_XCRS, set: abi.KVM_SET_XCRS },
    {
      name: "debugregs",
      length: abi.KvmDebugregs.size,
      get: abi.KVM_GET_DEBUGREGS,
      set: abi.KVM_SET_DEBUGREGS,
    },
    ...(kernelIrqChip ? [lapic] : []),
    {
      name: "events",
      length: abi.KvmVcpuEvents.size,
      get: abi.KVM_GET_VCPU_EVENTS,
      set: abi.KVM_SET_VCPU_EVENTS,
    },
  ];
}

const lapic: Part = {
  name: "lapic",
  length: abi.KvmLapicState.size,
  get: abi.KVM_GET_LAPIC,
  set: abi.KVM_SET_LAPIC,
};

/** The timer's deadline comes after the counter that it is compared with. */
function orderedMsrs({ msrs }: VcpuTraits): number[] {
  const others = [...msrs].filter((index) => index !== MSR_IA32_TSC_DEADLINE);
  return msrs.includes(MSR_IA32_TSC_DEADLINE) ? [...others, MSR_IA32_TSC_DEADLINE] : others;
}

function readCpuid(vcpu: Fd, traits: VcpuTraits): Uint8Array {
  // The filter adds at most the three topology entries.
  const bytes = new Uint8Array(traits.cpuid.length + 3 * abi.KvmCpuidEntry2.size);
  const header = new abi.KvmCpuid2(new DataView(bytes.buffer));
  header.nent = (bytes.length - abi.KvmCpuid2.entriesOffset) / abi.KvmCpuidEntry2.size;
  requestKvm(vcpu, abi.KVM_GET_CPUID2, bytes);
  return bytes.slice(0, abi.KvmCpuid2.entriesOffset + header.nent * abi.KvmCpuidEntry2.size);
}

/** A rate that the host has anyway is not set, which would need hardware that scales the counter. */
function restoreTscRate(vcpu: Fd, bytes: Uint8Array): void {
  const saved = new DataView(bytes.buffer).getUint32(0, true);
  if (saved !== 0 && saved !== ioctl(vcpu, abi.KVM_GET_TSC_KHZ)) requestKvm(vcpu, abi.KVM_SET_TSC_KHZ, saved);
}

/** The kernel trusts the count, so it must agree with the bytes that are there. */
function checkedMsrs(bytes: Uint8Array): ReturnType<typeof decodeMsrs> {
  checkCount(bytes, "msrs", abi.KvmMsrs.entriesOffset, abi.KvmMsrEntry.size);
  return decodeMsrs(bytes);
}

function checkedCpuid(bytes: Uint8Array): Uint8Array {
  checkCount(bytes, "cpuid", abi.KvmCpuid2.entriesOffset, abi.KvmCpuidEntry2.size);
  return bytes;
}

function checkCount(bytes: Uint8Array, name: string, offset: number, entry: number): void {
  const count = bytes.length < offset ? -1 : new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  if (bytes.length !== offset + count * entry)
    throw new SupermachineError(
      "HYPERVISOR",
      `Cannot use the saved machine state: chunk '${name}' is damaged`,
    );
}

function u32Bytes(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}
