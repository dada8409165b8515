import { randomFillSync } from "node:crypto";
import { join } from "node:path";
import { bootLinux } from "../../arch/x64/boot.ts";
import type { X64EntryState } from "../../arch/x64/entry-state.ts";
import { COM1_GSI, pmemStart, ramRegions } from "../../arch/x64/layout.ts";
import { PmemDevice } from "../../devices/pmem/device.ts";
import { RngDevice } from "../../devices/rng/device.ts";
import { VsockDevice } from "../../devices/vsock/device.ts";
import { gsi, type IrqLine } from "../../hypervisor/irq-line.ts";
import { KvmHypervisor } from "../../hypervisor/kvm/device.ts";
import type { VcpuTicket } from "../../hypervisor/vcpu.ts";
import type { Vm } from "../../hypervisor/vm.ts";
import { DisposalStack } from "../../lifetime/disposal-stack.ts";
import { gpa } from "../../memory/address.ts";
import type { DescriptorWatch } from "../../sys/linux/descriptor-watch.ts";
import { Mapping } from "../../sys/linux/mapping.ts";
import type { EngineConfig } from "../engine.ts";
import { openBootFile } from "./boot-file.ts";
import { kernelCommandLine } from "./guest-devices.ts";
import { mapRootImage } from "./root-image.ts";
import { VirtioSlots } from "./virtio-slots.ts";
import { VsockSocket, vsockSocketName } from "./vsock-socket.ts";

const MiB = 2 ** 20;

/** A machine with everything in place, no vCPU of which has run yet. Disposing of it releases all. */
export interface BuiltMachine extends Disposable {
  readonly vm: Vm;
  readonly vcpus: readonly VcpuTicket[];
  /** Of the boot processor. */
  readonly entry: X64EntryState;
  readonly slots: VirtioSlots;
  readonly vsock: VsockDevice;
  /** Path of its Unix socket. */
  readonly vsockSocket: string;
  readonly serialLine: IrqLine;
}

/** The recipe from a configuration to a machine that can be started. What fails undoes what was done. */
export function buildMachine(config: EngineConfig, watch: DescriptorWatch): BuiltMachine {
  using undo = new DisposalStack();
  const memoryBytes = config.memoryMiB * MiB;
  // Mappings first: they are released last, when no vCPU and no device can reach them.
  const ram = ramRegions(memoryBytes).map(({ start, length }) => ({
    start,
    mapping: undo.use(Mapping.anonymous(length)),
  }));
  const rootImage = undo.use(mapRootImage(config.rootfs));
  const vm = undo.use(new KvmHypervisor().createVm());
  for (const { start, mapping } of ram) vm.addMemory(gpa(start), mapping);
  const rootStart = pmemStart(memoryBytes);
  vm.addMemory(gpa(rootStart), rootImage, { readOnly: true });

  const slots = undo.use(new VirtioSlots(vm, watch));
  slots.plug(new PmemDevice({ start: rootStart, length: rootImage.length }));
  const vsock = new VsockDevice({ guestCid });
  slots.plug(vsock);
  undo.defer(() => vsock.close());
  const vsockSocket = join(config.directory, vsockSocketName);
  undo.use(new VsockSocket(vsockSocket, vsock));
  slots.plug(new RngDevice({ fill: (bytes) => void randomFillSync(bytes) }));
  const serialLine = vm.irqLine(gsi(COM1_GSI));

  using kernel = openBootFile(config.kernel.image);
  using initramfs = openBootFile(config.kernel.initramfs);
  const entry = bootLinux(vm.memory, {
    memoryBytes,
    cpus: config.cpus,
    kernel,
    initramfs,
    commandLine: kernelCommandLine(),
    slots: VirtioSlots.layout(),
  });
  const vcpus = Array.from({ length: config.cpus }, (_, index) => vm.createVcpu(index));
  const owned = undo.move();
  return {
    vm,
    vcpus,
    entry,
    slots,
    vsock,
    vsockSocket,
    serialLine,
    [Symbol.dispose]: () => owned[Symbol.dispose](),
  };
}

/** Any number above 2: it is not seen outside its own machine. */
const guestCid = 3;
