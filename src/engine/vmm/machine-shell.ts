import {
  COM1_GSI,
  pmemStart,
  ramRegions,
  VIRTIO_GSI_START,
  VIRTIO_MMIO_START,
  VIRTIO_MMIO_STRIDE,
} from "../../arch/x64/layout.ts";
import { gsi, type IrqLine } from "../../hypervisor/irq-line.ts";
import type { VcpuTicket } from "../../hypervisor/vcpu.ts";
import type { Doorbell, MemorySlot, Vm } from "../../hypervisor/vm.ts";
import { DisposalStack } from "../../lifetime/disposal-stack.ts";
import { gpa } from "../../memory/address.ts";
import type { RamRegion } from "../../snapshot/host/memory-regions.ts";
import { Mapping } from "../../sys/linux/mapping.ts";
import { VIRTIO_MMIO_QUEUE_NOTIFY } from "../../virtio/constants.ts";
import { hypervisor } from "./hypervisor.ts";
import { mapEmptyRoot } from "./root-image.ts";

/** A piece of guest memory, and what is behind it. */
export interface RamPiece {
  /** Guest-physical. */
  readonly start: number;
  readonly mapping: Mapping;
}

/** The same, and where the guest sees it. */
export interface RamSlot extends RamPiece {
  readonly slot: MemorySlot;
}

/** The same, as a snapshot describes it. */
export function regionsOf(ram: readonly RamPiece[]): RamRegion[] {
  return ram.map(({ start, mapping }) => ({ start, length: mapping.length }));
}

/** What makes one shell as good as another. */
export interface ShellShape {
  readonly cpus: number;
  readonly memoryMiB: number;
  /** Bytes of the root image's region; see `rootRegionLength`. */
  readonly rootLength: number;
}

/** What is the same in every machine of a shape, whatever it runs: a VM with vCPUs, empty memory and device slots. */
export interface MachineShell extends Disposable {
  readonly vm: Vm;
  readonly ram: readonly RamSlot[];
  /** Where the root image belongs. The guest can only read it. */
  readonly root: RamPiece;
  readonly vcpus: readonly VcpuTicket[];
  readonly serialLine: IrqLine;
  /** The first slots. Only these have what a device needs. */
  readonly slots: readonly ShellSlot[];
}

/** How the device in a slot and its driver call each other. */
export interface ShellSlot {
  readonly line: IrqLine;
  /** Rings for any queue. Without one, a notification makes the vCPU stop and ask the monitor. */
  readonly doorbell?: Doorbell;
}

/** vsock, rng, balloon, and the root image's. */
const USED_SLOTS = 4;
/**
 * The device that is busy as long as the machine is used; the others' drivers ring now and then, which is not worth what
 * it costs to have the kernel watch.
 */
const BUSY_SLOT = 0;

/** Throws what the system refuses; then nothing is left. */
export function makeShell({ cpus, memoryMiB, rootLength }: ShellShape): MachineShell {
  using undo = new DisposalStack();
  const memoryBytes = memoryMiB * 2 ** 20;
  // Mappings first: they are released last, when no vCPU and no device can reach them.
  const root = { start: pmemStart(memoryBytes), mapping: undo.use(mapEmptyRoot(rootLength)) };
  const pieces = ramRegions(memoryBytes).map(({ start, length }) => ({
    start,
    mapping: undo.use(Mapping.anonymous(length)),
  }));
  const vm = undo.use(hypervisor.createVm());
  const ram = pieces.map((piece) => ({ ...piece, slot: vm.addMemory(gpa(piece.start), piece.mapping) }));
  vm.addMemory(gpa(root.start), root.mapping, { readOnly: true });
  const vcpus = Array.from({ length: cpus }, (_, index) => vm.createVcpu(index));
  const serialLine = vm.irqLine(gsi(COM1_GSI));
  const slots = Array.from({ length: USED_SLOTS }, (_, slot) => makeSlot(vm, slot));
  const owned = undo.move();
  return { vm, ram, root, vcpus, serialLine, slots, [Symbol.dispose]: () => owned[Symbol.dispose]() };
}

/** Lines and doorbells are the VM's, and go with it. */
function makeSlot(vm: Vm, slot: number): ShellSlot {
  const line = vm.irqLine(gsi(VIRTIO_GSI_START + slot));
  if (slot !== BUSY_SLOT) return { line };
  const address = VIRTIO_MMIO_START + slot * VIRTIO_MMIO_STRIDE + VIRTIO_MMIO_QUEUE_NOTIFY;
  return { line, doorbell: vm.doorbell(gpa(address), { width: 4 }) };
}
