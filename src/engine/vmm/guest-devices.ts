import type { GuestDevices } from "../engine.ts";

/** The agent listens here, and knocks at the same port of the host when it is ready. */
export const agentPort = 1024;

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
  ].join(" ");
}

/** The root image's, behind those of the devices that every machine has: vsock, rng and balloon. */
export const ROOT_SLOT = 3;

/** What the agent finds on this engine. */
export const guestDevices: GuestDevices = {
  // Loaded before the agent speaks, and so in every template.
  modules: [],
  // A template's slot is empty, so that its driver has to be told of the image.
  bind: [platformDeviceName(ROOT_SLOT)],
  rootDevice: "/dev/pmem0",
  dax: true,
};

/** Linux names ACPI devices by their kind and number (drivers/acpi/scan.c). */
function platformDeviceName(slot: number): string {
  return `LNRO0005:${slot.toString(16).padStart(2, "0")}`;
}
