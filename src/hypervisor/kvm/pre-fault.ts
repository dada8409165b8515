import type { Fd } from "../../abi/fd.ts";
import type { Gpa } from "../../memory/address.ts";
import { ioctlBytes } from "../../sys/linux/ioctl.ts";

// Documentation/virt/kvm/api.rst, "KVM_PRE_FAULT_MEMORY"; since Linux 6.11, and not yet in every system's headers.
const KVM_PRE_FAULT_MEMORY = 0xc040_aed5;
/** struct kvm_pre_fault_memory: gpa, size, flags and padding. */
const requestLength = 64;

/**
 * Makes the kernel map guest memory for a vCPU that is not running as if it had read all of it. Returns false where the
 * kernel cannot, or has mapped only part of it.
 */
export function preFault(vcpu: Fd, start: Gpa, length: number): boolean {
  const bytes = new Uint8Array(requestLength);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(start), true);
  view.setBigUint64(8, BigInt(length), true);
  // The kernel moves start and length along by what it has done, so that the call can be made again after a signal.
  return ioctlBytes(vcpu, KVM_PRE_FAULT_MEMORY, bytes) === 0 && view.getBigUint64(8, true) === 0n;
}
