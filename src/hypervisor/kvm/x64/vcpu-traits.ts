import type { Fd } from "../../../abi/fd.ts";
import {
  KVM_CAP_TSC_DEADLINE_TIMER,
  KVM_CAP_XSAVE2,
  KVM_CHECK_EXTENSION,
  KVM_GET_MSR_INDEX_LIST,
  KvmMsrList,
  KvmXsave,
} from "../../../abi/kvm.x64.generated.ts";
import { SupermachineError } from "../../../errors/supermachine-error.ts";
import { ioctl, ioctlBytes } from "../../../sys/linux/ioctl.ts";
import { kvmError } from "../request.ts";
import { supportedCpuid } from "./cpuid.ts";

/** What holds for every vCPU on this host: plain data, read once per VM. */
export interface VcpuTraits {
  /** `kvm_cpuid2` as the kernel offers it, before the filter. */
  readonly cpuid: Uint8Array;
  /** Numbers of the model-specific registers that make up a vCPU's state. */
  readonly msrs: Uint32Array;
  /** Bytes of the XSAVE area. */
  readonly xsaveLength: number;
  /** The local APIC is in the kernel, and part of the state. */
  readonly kernelIrqChip: boolean;
  /** The local APIC's timer can be set in TSC ticks, which CPUID then should say. */
  readonly tscDeadline: boolean;
}

export function readVcpuTraits(kvm: Fd, { kernelIrqChip }: { readonly kernelIrqChip: boolean }): VcpuTraits {
  return {
    cpuid: supportedCpuid(kvm),
    msrs: msrIndices(kvm),
    kernelIrqChip,
    xsaveLength: Math.max(KvmXsave.size, ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2)),
    tscDeadline: kernelIrqChip && ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0,
  };
}

/** Linux 6.x knows fewer than 400; the bound is ours. */
const maxMsrs = 4096;

function msrIndices(kvm: Fd): Uint32Array {
  const bytes = new Uint8Array(KvmMsrList.indicesOffset + maxMsrs * 4);
  const list = new KvmMsrList(new DataView(bytes.buffer));
  list.nmsrs = maxMsrs;
  const result = ioctlBytes(kvm, KVM_GET_MSR_INDEX_LIST, bytes);
  if (result < 0) throw kvmError(KVM_GET_MSR_INDEX_LIST, -result);
  if (list.nmsrs > maxMsrs) throw new SupermachineError("HYPERVISOR", `KVM lists ${list.nmsrs} registers`);
  return new Uint32Array(bytes.buffer, KvmMsrList.indicesOffset, list.nmsrs).slice();
}
