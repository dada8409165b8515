import assert from "node:assert/strict";
import { test } from "node:test";
import type { EngineConfig } from "../engine.ts";
import { guestDevices, qemuArguments } from "./arguments.ts";
import type { QemuInstallation } from "./installation.ts";

const config: EngineConfig = {
  id: "0123456789ab",
  architecture: "x64",
  cpus: 2,
  memoryMiB: 384,
  kernel: { image: "/k/kernel", initramfs: "/k/initramfs", release: "6.1" },
  rootfs: '/images/a,b"c.erofs',
  home: "/home",
  origin: { kind: "boot" },
  network: "none",
  directory: "/m",
};
const qemu: QemuInstallation = {
  binary: "qemu-system-x86_64",
  version: "7.2.22",
  accelerator: "tcg",
  sandbox: true,
  qboot: true,
};
const after = (list: readonly string[], option: string) => list[list.indexOf(option) + 1];

test("qemuArguments() for an emulated PC", () => {
  assert.deepEqual(qemuArguments(config, qemu), [
    "-name",
    "supermachine-0123456789ab",
    "-no-user-config",
    "-nodefaults",
    "-display",
    "none",
    "-no-reboot",
    "-sandbox",
    "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
    "-machine",
    "q35,usb=off,vmport=off,sata=off,smbus=off",
    "-accel",
    "tcg,thread=multi",
    "-cpu",
    "max,-la57",
    "-smp",
    "2",
    "-m",
    "384M",
    "-bios",
    "qboot.rom",
    "-kernel",
    "/k/kernel",
    "-initrd",
    "/k/initramfs",
    "-append",
    "console=ttyS0 quiet panic=-1 reboot=t random.trust_cpu=on swiotlb=noforce cryptomgr.notests " +
      "supermachine.agent=console supermachine.modules=base,pci,console",
    "-chardev",
    "stdio,id=console,signal=off",
    "-serial",
    "chardev:console",
    "-device",
    "virtio-serial-pci-non-transitional,max_ports=2",
    "-chardev",
    "socket,id=agent,fd=3",
    "-device",
    "virtserialport,chardev=agent,name=org.supermachine.agent",
    "-blockdev",
    '{"driver":"raw","node-name":"rootfs","read-only":true,"file":{"driver":"file",' +
      '"filename":"/images/a,b\\"c.erofs","read-only":true,"locking":"off"}}',
    "-device",
    "virtio-blk-pci-non-transitional,drive=rootfs",
    "-object",
    "rng-builtin,id=rng",
    "-device",
    "virtio-rng-pci-non-transitional,rng=rng",
  ]);
});

test("qemuArguments() uses microvm with KVM, and nothing that this QEMU lacks", () => {
  const list = qemuArguments(config, { ...qemu, accelerator: "kvm", sandbox: false, qboot: false });
  assert.match(after(list, "-machine") ?? "", /^microvm,acpi=on,/);
  assert.deepEqual([after(list, "-accel"), after(list, "-cpu")], ["kvm", "host"]);
  assert.ok(list.includes("virtio-blk-device,drive=rootfs"));
  assert.match(after(list, "-append") ?? "", /supermachine.modules=base,console$/);
  assert.ok(!list.includes("-sandbox") && !list.includes("-bios"));
});

test("qemuArguments() for arm64: devices on MMIO, the console on the PL011, no PC parameters", () => {
  const arm = { ...config, architecture: "arm64" } as const;
  const list = qemuArguments(arm, qemu);
  assert.equal(after(list, "-machine"), "virt,gic-version=3");
  assert.match(after(list, "-append") ?? "", /^console=ttyAMA0 quiet panic=-1 random/);
  assert.ok(list.includes("virtio-serial-device,max_ports=2"));
  assert.equal(
    after(qemuArguments(arm, { ...qemu, accelerator: "kvm" }), "-machine"),
    "virt,gic-version=host",
  );
});

test("a network appears in the arguments and in what the agent is told, and only when asked for", () => {
  const networked = { ...config, network: "user" } as const;
  const list = qemuArguments(networked, qemu);
  assert.equal(after(list, "-netdev"), "user,id=net");
  assert.ok(list.includes("virtio-net-pci-non-transitional,netdev=net,mac=52:54:00:01:23:45,romfile="));
  assert.deepEqual(guestDevices(networked), {
    modules: ["blk", "fs", "rng", "net"],
    rootDevice: "/dev/vda",
    dax: false,
    network: { interface: "eth0", address: "10.0.2.15/24", gateway: "10.0.2.2", nameservers: ["10.0.2.3"] },
  });
  assert.ok(!qemuArguments(config, qemu).includes("-netdev"));
  assert.deepEqual(guestDevices(config), {
    modules: ["blk", "fs", "rng"],
    rootDevice: "/dev/vda",
    dax: false,
  });
});
