import type { GuestArchitecture } from "../../kernel/guest-kernel.ts";
import type { QemuInstallation } from "./installation.ts";

/** The virtual board a machine gets: what differs by architecture and accelerator, in one place. */
export interface Board {
  /** Value of -machine. */
  readonly machine: string;
  readonly cpu: string;
  readonly firmware?: string;
  /** How QEMU names virtio devices on it: `virtio-blk` plus this. */
  readonly deviceSuffix: "device" | "pci-non-transitional";
  /** The kernel's name of the first serial port. */
  readonly console: "ttyS0" | "ttyAMA0";
  /** Module groups that reach the agent's console. */
  readonly earlyModules: readonly string[];
  /** Kernel parameters of this board alone. */
  readonly parameters: readonly string[];
}

/** Chooses the board for a machine. */
export function chooseBoard(architecture: GuestArchitecture, qemu: QemuInstallation): Board {
  if (architecture === "arm64") return qemu.accelerator === "tcg" ? virtEmulated : virt(qemu.accelerator);
  return qemu.accelerator === "tcg" ? q35(qemu.qboot) : microvm;
}

/** KVM gives the guest its clock frequency, so none of the PC's timers are needed. */
const microvm: Board = {
  machine: "microvm,acpi=on,pit=off,pic=off,rtc=off,x-option-roms=off",
  cpu: "host",
  deviceSuffix: "device",
  console: "ttyS0",
  earlyModules: ["base", "console"],
  parameters: ["reboot=t"],
};

/**
 * Emulation needs the PC's timers. On microvm the kernel has only the PIT to measure the TSC with, its check against
 * disturbance fails on a busy host, and with hardware-reduced ACPI it then has no timer at all and hangs (about every
 * second boot at a load of 2). q35 has the HPET as reference. It costs 0.3 s over microvm; the small firmware gives
 * 0.2 s back.
 */
function q35(qboot: boolean): Board {
  return {
    machine: "q35,usb=off,vmport=off,sata=off,smbus=off",
    // Page tables of five levels slow every emulated page walk down, by a tenth of the boot.
    cpu: "max,-la57",
    ...(qboot && { firmware: "qboot.rom" }),
    deviceSuffix: "pci-non-transitional",
    console: "ttyS0",
    earlyModules: ["base", "pci", "console"],
    parameters: ["reboot=t"],
  };
}

const virtEmulated: Board = {
  machine: "virt,gic-version=3",
  // QEMU's own pointer authentication algorithm; the architected one takes half of the emulation's time.
  cpu: "max,pauth-impdef=on",
  deviceSuffix: "device",
  console: "ttyAMA0",
  earlyModules: ["base", "console"],
  parameters: [],
};

function virt(accelerator: "kvm" | "hvf"): Board {
  const machine = accelerator === "kvm" ? "virt,gic-version=host" : "virt";
  return { ...virtEmulated, machine, cpu: "host" };
}
