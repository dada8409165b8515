import { KvmHypervisor } from "../../hypervisor/kvm/device.ts";

/** The one that this engine's machines run on. A single object, because what it has found out about the host is kept. */
export const hypervisor: KvmHypervisor = new KvmHypervisor();
