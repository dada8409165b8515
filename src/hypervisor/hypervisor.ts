// What a machine monitor asks of a hypervisor, whichever it is. A backend (kvm/, hvf/, soft/) implements this and
// passes tests/conformance. Nothing here knows an operating system or an instruction set.
import type { Support } from "./capabilities.ts";
import type { Vcpu, VcpuTicket } from "./vcpu.ts";
import type { Vm, VmOptions } from "./vm.ts";

export interface Hypervisor {
  readonly kind: "kvm" | "hvf" | "whp" | "soft";
  /** Whether it works here, with its capabilities, or why not and what to do. Never throws. */
  probe(): Support;
  /** Throws `HYPERVISOR` when the system refuses. */
  createVm(options?: VmOptions): Vm;
  /** Makes a vCPU usable on the calling thread, which then is the only one to run it. */
  openVcpu(ticket: VcpuTicket): Vcpu;
}
