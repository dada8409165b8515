import type { Fd } from "../../../abi/fd.ts";
import { KVM_GET_SUPPORTED_CPUID, KvmCpuid2, KvmCpuidEntry2 } from "../../../abi/kvm.x64.generated.ts";
import { requestKvm } from "../request.ts";

/** The kernel's own limit (KVM_MAX_CPUID_ENTRIES). */
const maxEntries = 256;

/** Everything that this KVM and this processor can offer a guest, as a `kvm_cpuid2` that is cut to its length. */
export function supportedCpuid(kvm: Fd): Uint8Array {
  const bytes = new Uint8Array(KvmCpuid2.entriesOffset + maxEntries * KvmCpuidEntry2.size);
  const header = new KvmCpuid2(new DataView(bytes.buffer));
  header.nent = maxEntries;
  requestKvm(kvm, KVM_GET_SUPPORTED_CPUID, bytes);
  return bytes.subarray(0, KvmCpuid2.entriesOffset + header.nent * KvmCpuidEntry2.size);
}
