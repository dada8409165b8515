import type { Fd } from "../../abi/fd.ts";
import {
  KVM_CREATE_IRQCHIP,
  KVM_CREATE_PIT2,
  KVM_CREATE_VM,
  KVM_GET_VCPU_MMAP_SIZE,
  KVM_PIT_SPEAKER_DUMMY,
  KVM_SET_IDENTITY_MAP_ADDR,
  KVM_SET_TSS_ADDR,
  KvmPitConfig,
} from "../../abi/kvm.x64.generated.ts";
import { O_RDWR } from "../../abi/linux.x64.generated.ts";
import type { CpuProfile } from "../../arch/cpu.ts";
import { KVM_IDENTITY_MAP_START, KVM_TSS_START } from "../../arch/x64/layout.ts";
import { OwnedFd, open } from "../../sys/linux/file.ts";
import type { Support } from "../capabilities.ts";
import type { Hypervisor } from "../hypervisor.ts";
import type { Vcpu, VcpuTicket } from "../vcpu.ts";
import type { Vm, VmOptions } from "../vm.ts";
import { kvmCapabilities, probeKvm } from "./probe.ts";
import { requestKvm } from "./request.ts";
import { openKvmVcpu } from "./vcpu.ts";
import { KvmVm } from "./vm.ts";
import { type CpuidEntry, decodeCpuid, guestCpuid } from "./x64/cpuid.ts";
import { readVcpuTraits, type VcpuTraits } from "./x64/vcpu-traits.ts";

/** The kvm backend. */
export class KvmHypervisor implements Hypervisor {
  readonly kind = "kvm";
  readonly #path: string;
  /** Asking for them takes longer than making a VM, and they do not change; by `kernelIrqChip`. */
  readonly #traits: Map<boolean, VcpuTraits> = new Map();

  constructor(path = "/dev/kvm") {
    this.#path = path;
  }

  probe(): Support {
    return probeKvm(this.#path);
  }

  createVm({ kernelIrqChip = true }: VmOptions = {}): Vm {
    using kvm = open(this.#path, O_RDWR);
    const vm = new OwnedFd(requestKvm(kvm.fd, KVM_CREATE_VM));
    try {
      requestKvm(vm.fd, KVM_SET_IDENTITY_MAP_ADDR, addressBytes(KVM_IDENTITY_MAP_START));
      requestKvm(vm.fd, KVM_SET_TSS_ADDR, KVM_TSS_START);
      if (kernelIrqChip) createIrqChip(vm.fd);
      return new KvmVm(vm, {
        capabilities: kvmCapabilities(vm.fd),
        kernelIrqChip,
        runLength: requestKvm(kvm.fd, KVM_GET_VCPU_MMAP_SIZE),
        traits: this.#traitsOf(kvm.fd, kernelIrqChip),
      });
    } catch (error) {
      vm[Symbol.dispose]();
      throw error;
    }
  }

  /** What the CPUID instruction tells a vCPU of a machine of this shape. */
  guestCpuid(profile: CpuProfile): readonly CpuidEntry[] {
    using kvm = open(this.#path, O_RDWR);
    const { cpuid, tscDeadline } = this.#traitsOf(kvm.fd, true);
    return decodeCpuid(guestCpuid(cpuid, { ...profile, tscDeadline }));
  }

  openVcpu(ticket: VcpuTicket): Vcpu {
    return openKvmVcpu(ticket);
  }

  #traitsOf(kvm: Fd, kernelIrqChip: boolean): VcpuTraits {
    const known = this.#traits.get(kernelIrqChip) ?? readVcpuTraits(kvm, { kernelIrqChip });
    this.#traits.set(kernelIrqChip, known);
    return known;
  }
}

/** Before the first vCPU, because a vCPU's local APIC is made together with it. */
function createIrqChip(vm: Fd): void {
  requestKvm(vm, KVM_CREATE_IRQCHIP);
  const bytes = new Uint8Array(KvmPitConfig.size);
  new KvmPitConfig(new DataView(bytes.buffer)).flags = KVM_PIT_SPEAKER_DUMMY;
  requestKvm(vm, KVM_CREATE_PIT2, bytes);
}

function addressBytes(address: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(address), true);
  return bytes;
}
