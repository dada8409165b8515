import type { Fd } from "../../abi/fd.ts";
import * as abi from "../../abi/kvm.x64.generated.ts";
import { KVM_API_VERSION, KVM_CHECK_EXTENSION, KVM_GET_API_VERSION } from "../../abi/kvm.x64.generated.ts";
import { O_RDWR } from "../../abi/linux.x64.generated.ts";
import { type OwnedFd, tryOpen } from "../../sys/linux/file.ts";
import { ioctl } from "../../sys/linux/ioctl.ts";
import { errnoName } from "../../sys/linux/system-error.ts";
import type { Capabilities, Support } from "../capabilities.ts";
import { findEmulation } from "./emulation-check.ts";

/** Without any one of these a machine cannot run at all; all are in Linux since 4.12. */
const required = {
  USER_MEMORY: abi.KVM_CAP_USER_MEMORY,
  IRQCHIP: abi.KVM_CAP_IRQCHIP,
  IRQFD: abi.KVM_CAP_IRQFD,
  IOEVENTFD: abi.KVM_CAP_IOEVENTFD,
  IMMEDIATE_EXIT: abi.KVM_CAP_IMMEDIATE_EXIT,
  EXT_CPUID: abi.KVM_CAP_EXT_CPUID,
  SET_TSS_ADDR: abi.KVM_CAP_SET_TSS_ADDR,
};
const qemuRemedy = "Use a host with hardware virtualisation, or install QEMU for software emulation";

/**
 * Whether machines can run on this host's KVM, and if not, why and what to do. Never throws; takes a few milliseconds,
 * up to 60 where guest code is interpreted.
 *
 * @example
 * ```ts
 * const support = probeKvm();
 * console.log(support.usable ? support.capabilities.maxVcpus : `${support.reason}. ${support.remedy}`);
 * ```
 */
export function probeKvm(path = "/dev/kvm"): Support {
  try {
    if (process.platform !== "linux" || process.arch !== "x64")
      return unusable(`KVM is not supported on ${process.platform} ${process.arch}`, qemuRemedy);
    const opened = tryOpen(path, O_RDWR);
    if (typeof opened === "number") return refused(path, errnoName(-opened));
    using device = opened;
    return inspect(path, device);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return unusable(`${path} does not work: ${text}`, qemuRemedy);
  }
}

function inspect(path: string, device: OwnedFd): Support {
  const version = ioctl(device.fd, KVM_GET_API_VERSION);
  if (version < 0) return unusable(`${path} is not KVM: ${errnoName(-version)}`, qemuRemedy);
  if (version !== KVM_API_VERSION)
    return unusable(
      `${path} speaks API version ${version}, not ${KVM_API_VERSION}`,
      "Use a newer Linux kernel",
    );
  const missing = Object.entries(required).filter(([, capability]) => extension(device.fd, capability) === 0);
  if (missing.length > 0)
    return unusable(`${path} lacks ${missing.map(([name]) => name).join(", ")}`, "Use a newer Linux kernel");
  const emulation = findEmulation(device.fd);
  if (emulation !== undefined) return unusable(`${path} cannot run a kernel: ${emulation}`, qemuRemedy);
  return { usable: true, capabilities: kvmCapabilities(device.fd) };
}

/** Asked of the device or, where a backend wants what holds for one machine, of its VM. */
export function kvmCapabilities(fd: Fd): Capabilities {
  return {
    kernelIrqChip: extension(fd, abi.KVM_CAP_IRQCHIP) > 0,
    notifyWithoutExit: extension(fd, abi.KVM_CAP_IOEVENTFD) > 0,
    dirtyLog: true,
    readOnlyMemory: extension(fd, abi.KVM_CAP_READONLY_MEM) > 0,
    snapshot: snapshotNeeds.every((capability) => extension(fd, capability) > 0),
    maxVcpus: extension(fd, abi.KVM_CAP_MAX_VCPUS) || extension(fd, abi.KVM_CAP_NR_VCPUS),
    maxMemorySlots: extension(fd, abi.KVM_CAP_NR_MEMSLOTS),
  };
}

const snapshotNeeds = [
  abi.KVM_CAP_XSAVE,
  abi.KVM_CAP_XCRS,
  abi.KVM_CAP_DEBUGREGS,
  abi.KVM_CAP_VCPU_EVENTS,
  abi.KVM_CAP_MP_STATE,
  abi.KVM_CAP_ADJUST_CLOCK,
];

function extension(fd: Fd, capability: number): number {
  return Math.max(0, ioctl(fd, KVM_CHECK_EXTENSION, capability));
}

function refused(path: string, errno: string): Support {
  switch (errno) {
    case "ENOENT":
    case "ENODEV":
    case "ENXIO":
      return unusable(
        `There is no ${path}`,
        "Load kvm_intel or kvm_amd, and enable virtualisation in the firmware (or nested virtualisation on the host of this machine)",
      );
    case "EACCES":
    case "EPERM":
      return unusable(
        `No permission to open ${path}`,
        "Add your user to the group kvm (sudo usermod -aG kvm $USER) and log in again",
      );
    default:
      return unusable(`Cannot open ${path}: ${errno}`, qemuRemedy);
  }
}

function unusable(reason: string, remedy: string): Support {
  return { usable: false, reason, remedy };
}
