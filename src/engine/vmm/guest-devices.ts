import type { GuestDevices } from "../engine.ts";

/** The agent listens here, and knocks at the same port of the host when it is ready. */
export const agentPort = 1024;

const rootDevice = "/dev/pmem0";

/** What the kernel is told; everything else it learns from ACPI. */
export function kernelCommandLine(): string {
  return [
    // A guest that reboots, after a panic above all, resets through the keyboard controller. What the kernel tries
    // otherwise ends in real mode and in a BIOS that is not there, where it would hang.
    "reboot=k",
    "console=ttyS0 quiet panic=-1 random.trust_cpu=on swiotlb=noforce cryptomgr.notests no5lvl",
    // The clock of KVM is the one that survives; there is no other hardware to look for.
    "tsc=reliable no_timer_check noreplace-smp nomodule_probe",
    `supermachine.agent=vsock:${agentPort} supermachine.modules=base,vsock,rng,balloon,pmem,fs`,
    `supermachine.await=${rootDevice}`,
  ].join(" ");
}

/** What the agent finds on this engine. */
export const guestDevices: GuestDevices = {
  // Loaded before the agent speaks, and so in every template.
  modules: [],
  rootDevice,
  dax: true,
};
