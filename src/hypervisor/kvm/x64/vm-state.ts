import type { Fd } from "../../../abi/fd.ts";
import {
  KVM_GET_CLOCK,
  KVM_GET_IRQCHIP,
  KVM_GET_PIT2,
  KVM_IRQCHIP_IOAPIC,
  KVM_IRQCHIP_PIC_MASTER,
  KVM_IRQCHIP_PIC_SLAVE,
  KVM_SET_CLOCK,
  KVM_SET_IRQCHIP,
  KVM_SET_PIT2,
  KvmClockData,
  KvmIrqchip,
  KvmPitState2,
} from "../../../abi/kvm.x64.generated.ts";
import { type BackendState, requireChunk, requireState } from "../../state.ts";
import { requestKvm } from "../request.ts";

const chips = [
  ["pic-master", KVM_IRQCHIP_PIC_MASTER],
  ["pic-slave", KVM_IRQCHIP_PIC_SLAVE],
  ["ioapic", KVM_IRQCHIP_IOAPIC],
] as const;

/** What the kernel keeps for the machine as a whole: the paravirtual clock, interrupt controllers and timer. */
export function saveVmState(vm: Fd, { kernelIrqChip }: { readonly kernelIrqChip: boolean }): BackendState {
  const chunks = new Map<string, Uint8Array>();
  const fetch = (name: string, request: number, bytes: Uint8Array): void => {
    requestKvm(vm, request, bytes);
    chunks.set(name, bytes);
  };
  fetch("clock", KVM_GET_CLOCK, new Uint8Array(KvmClockData.size));
  if (kernelIrqChip) {
    fetch("pit", KVM_GET_PIT2, new Uint8Array(KvmPitState2.size));
    for (const [name, id] of chips)
      fetch(name, KVM_GET_IRQCHIP, chipBytes(new Uint8Array(KvmIrqchip.size), id));
  }
  return { backend: "kvm", subject: "vm", chunks };
}

/** Into a VM that was created with the same options and does not run. */
export function restoreVmState(
  vm: Fd,
  { kernelIrqChip }: { readonly kernelIrqChip: boolean },
  state: BackendState,
): void {
  requireState(state, "kvm", "vm");
  requestKvm(vm, KVM_SET_CLOCK, continuedClock(requireChunk(state, "clock", KvmClockData.size)));
  if (!kernelIrqChip) return;
  requestKvm(vm, KVM_SET_PIT2, requireChunk(state, "pit", KvmPitState2.size));
  for (const [name, id] of chips)
    requestKvm(vm, KVM_SET_IRQCHIP, chipBytes(requireChunk(state, name, KvmIrqchip.size), id));
}

/** The clock goes on from where it stood; the flags of the saving host say nothing about this one. */
function continuedClock(saved: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(KvmClockData.size);
  new KvmClockData(new DataView(bytes.buffer)).clock = new KvmClockData(new DataView(saved.buffer)).clock;
  return bytes;
}

function chipBytes(bytes: Uint8Array, id: number): Uint8Array {
  new KvmIrqchip(new DataView(bytes.buffer)).chipId = id;
  return bytes;
}
