import type { EngineConfig, GuestDevices, GuestNetwork } from "../engine.ts";
import { type Board, chooseBoard } from "./board.ts";
import { type QemuInstallation, sandboxOption } from "./installation.ts";

/** File descriptor in QEMU's process that carries the agent's byte stream. */
export const agentDescriptor = 3;
/** Name of the virtio-console port that the agent opens. */
export const agentPort = "org.supermachine.agent";

/** QEMU's arguments for a machine. The guest's console is on standard output. */
export function qemuArguments(config: EngineConfig, qemu: QemuInstallation): string[] {
  const board = chooseBoard(config.architecture, qemu);
  const virtio = (name: string) => `${name}-${board.deviceSuffix}`;
  // As JSON, because a path may have commas. No locks: the image never changes, and any number of machines share it.
  const file = { driver: "file", filename: config.rootfs, "read-only": true, locking: "off" };
  const rootfs = { driver: "raw", "node-name": "rootfs", "read-only": true, file };
  return [
    ["-name", `supermachine-${config.id}`],
    ["-no-user-config", "-nodefaults", "-display", "none", "-no-reboot"],
    qemu.sandbox ? ["-sandbox", sandboxOption] : [],
    ["-machine", board.machine],
    ["-accel", qemu.accelerator === "tcg" ? "tcg,thread=multi" : qemu.accelerator],
    ["-cpu", board.cpu, "-smp", String(config.cpus), "-m", `${config.memoryMiB}M`],
    board.firmware === undefined ? [] : ["-bios", board.firmware],
    ["-kernel", config.kernel.image, "-initrd", config.kernel.initramfs],
    ["-append", kernelCommandLine(board)],
    ["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"],
    ["-device", `${virtio("virtio-serial")},max_ports=2`],
    ["-chardev", `socket,id=agent,fd=${agentDescriptor}`],
    ["-device", `virtserialport,chardev=agent,name=${agentPort}`],
    ["-blockdev", JSON.stringify(rootfs)],
    ["-device", `${virtio("virtio-blk")},drive=rootfs`],
    ["-object", "rng-builtin,id=rng", "-device", `${virtio("virtio-rng")},rng=rng`],
    config.network === "none" ? [] : networkArguments(config, virtio("virtio-net")),
  ].flat();
}

/** Where the agent finds this engine's devices. */
export function guestDevices(config: EngineConfig): GuestDevices {
  const hasNetwork = config.network === "user";
  return {
    modules: ["blk", "fs", "rng", ...(hasNetwork ? ["net"] : [])],
    rootDevice: "/dev/vda",
    dax: false,
    ...(hasNetwork && { network: userNetwork }),
  };
}

/** The fixed addresses of QEMU's user-mode network. */
const userNetwork: GuestNetwork = {
  interface: "eth0",
  address: "10.0.2.15/24",
  gateway: "10.0.2.2",
  nameservers: ["10.0.2.3"],
};

function networkArguments(config: EngineConfig, device: string): string[] {
  const mac = ["52", "54", "00", ...(config.id.match(/../g) ?? []).slice(0, 3)].join(":");
  const noBootRom = device.endsWith("-device") ? "" : ",romfile=";
  return ["-netdev", "user,id=net", "-device", `${device},netdev=net,mac=${mac}${noBootRom}`];
}

function kernelCommandLine(board: Board): string {
  return [
    `console=${board.console}`,
    "quiet",
    // A panic ends the machine at once, because QEMU does not restart it.
    "panic=-1",
    ...board.parameters,
    "random.trust_cpu=on",
    // Virtio needs no bounce buffers; without this a small guest loses 64 MiB to them.
    "swiotlb=noforce",
    // Self-tests of the kernel's cryptography take a third of a second under emulation.
    "cryptomgr.notests",
    "supermachine.agent=console",
    `supermachine.modules=${board.earlyModules.join(",")}`,
  ].join(" ");
}
