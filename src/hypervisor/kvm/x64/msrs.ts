import type { Fd } from "../../../abi/fd.ts";
import { KVM_GET_MSRS, KVM_SET_MSRS, KvmMsrEntry, KvmMsrs } from "../../../abi/kvm.x64.generated.ts";
import { SupermachineError } from "../../../errors/supermachine-error.ts";
import { requestKvm } from "../request.ts";

/** A model-specific register and its value. */
export type Msr = readonly [index: number, value: bigint];

/**
 * The registers of the list that this vCPU has. KVM stops at the first one it refuses (its list is of what the host
 * knows, not of what this guest's CPUID allows): that one is left out, and the rest asked for again.
 */
export function readMsrs(vcpu: Fd, indices: Iterable<number>): Msr[] {
  const found: Msr[] = [];
  let wanted = [...indices];
  while (wanted.length > 0) {
    const bytes = encodeMsrs(wanted.map((index) => [index, 0n]));
    const count = requestKvm(vcpu, KVM_GET_MSRS, bytes);
    found.push(...decodeMsrs(bytes).slice(0, count));
    wanted = wanted.slice(count + 1);
  }
  return found;
}

/** Sets them in order; throws `HYPERVISOR` naming the first register that KVM refuses. */
export function writeMsrs(vcpu: Fd, msrs: readonly Msr[]): void {
  if (msrs.length === 0) return;
  const count = requestKvm(vcpu, KVM_SET_MSRS, encodeMsrs(msrs));
  const refused = msrs[count];
  if (refused === undefined) return;
  const [index, value] = refused;
  throw new SupermachineError(
    "HYPERVISOR",
    `KVM refuses the value 0x${value.toString(16)} for model-specific register 0x${index.toString(16)}`,
    { data: { index } },
  );
}

export function encodeMsrs(msrs: readonly Msr[]): Uint8Array {
  const bytes = new Uint8Array(KvmMsrs.entriesOffset + msrs.length * KvmMsrEntry.size);
  const view = new DataView(bytes.buffer);
  new KvmMsrs(view).nmsrs = msrs.length;
  const entry = new KvmMsrEntry(view);
  for (const [position, [index, value]] of msrs.entries()) {
    entry.at(KvmMsrs.entriesOffset + position * KvmMsrEntry.size);
    entry.index = index;
    entry.data = value;
  }
  return bytes;
}

/** `nmsrs` must have been checked against the length when the bytes come from outside. */
export function decodeMsrs(bytes: Uint8Array): Msr[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const entry = new KvmMsrEntry(view);
  return Array.from({ length: new KvmMsrs(view).nmsrs }, (_, position) => {
    entry.at(KvmMsrs.entriesOffset + position * KvmMsrEntry.size);
    return [entry.index, entry.data] as const;
  });
}
