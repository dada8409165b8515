import { parentPort, workerData } from "node:worker_threads";
import type { CpuProfile, EntryState } from "../../src/arch/cpu.ts";
import { KvmHypervisor } from "../../src/hypervisor/kvm/device.ts";
import type { VcpuTicket } from "../../src/hypervisor/vcpu.ts";

// Runs one vCPU and reports every exit; reads are answered with zeros.
const { ticket, stopFlag, profile, entry } = workerData as {
  readonly ticket: VcpuTicket;
  readonly stopFlag: Int32Array;
  readonly profile: CpuProfile;
  readonly entry: EntryState | undefined;
};

using vcpu = new KvmHypervisor().openVcpu(ticket);
vcpu.configure(profile, entry);
parentPort?.postMessage({ kind: "started" });
while (Atomics.load(stopFlag, 0) === 0) {
  const exit = vcpu.run();
  if (exit.kind === "mmio-read" || exit.kind === "pio-in") exit.data.fill(0);
  parentPort?.postMessage("data" in exit ? { ...exit, data: exit.data.slice() } : exit);
  if (exit.kind === "failed" || exit.kind === "triple-fault" || exit.kind === "halt") break;
}
