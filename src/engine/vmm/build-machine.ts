import { randomFillSync } from "node:crypto";
import { join } from "node:path";
import { MADV_DONTNEED } from "../../abi/linux.x64.generated.ts";
import type { X64EntryState } from "../../arch/x64/entry-state.ts";
import { ramRegions } from "../../arch/x64/layout.ts";
import { BalloonDevice } from "../../devices/balloon/device.ts";
import { PmemDevice } from "../../devices/pmem/device.ts";
import { RngDevice } from "../../devices/rng/device.ts";
import { resetSerialState, serialStateWords } from "../../devices/serial/state.ts";
import { VsockDevice } from "../../devices/vsock/device.ts";
import type { IrqLine } from "../../hypervisor/irq-line.ts";
import type { VcpuTicket } from "../../hypervisor/vcpu.ts";
import type { Vm } from "../../hypervisor/vm.ts";
import { DisposalStack } from "../../lifetime/disposal-stack.ts";
import { gpa } from "../../memory/address.ts";
import type { MemoryRun } from "../../snapshot/memory-runs.ts";
import type { WorkingSet } from "../../snapshot/working-set.ts";
import type { DescriptorWatch } from "../../sys/linux/descriptor-watch.ts";
import type { EngineConfig } from "../engine.ts";
import type { PhaseClock } from "../phase-clock.ts";
import type { RamSlot, ShellShape } from "./machine-shell.ts";
import type { MachineState } from "./machine-state.ts";
import { putRootImage, rootRegionLengthOf } from "./root-image.ts";
import { mapSavedRam } from "./saved-ram.ts";
import { spareShells } from "./spare-shells.ts";
import { VirtioSlots } from "./virtio-slots.ts";
import { VsockSocket, vsockSocketName } from "./vsock-socket.ts";
import { bringIn } from "./working-set.ts";

const MiB = 2 ** 20;

/** A machine with everything in place, no vCPU of which has run yet. Disposing of it releases all. */
export interface BuiltMachine extends Disposable {
  readonly vm: Vm;
  readonly ram: readonly RamSlot[];
  readonly vcpus: readonly VcpuTicket[];
  readonly start: MachineStart;
  readonly slots: VirtioSlots;
  readonly vsock: VsockDevice;
  /** Path of its Unix socket. */
  readonly vsockSocket: string;
  readonly balloon: BalloonDevice;
  readonly serialLine: IrqLine;
  readonly serialState: SharedArrayBuffer;
}

/** What the vCPUs begin with. */
export type MachineStart =
  | { readonly kind: "boot"; readonly entry: X64EntryState }
  | { readonly kind: "restored" };

/** What a machine goes on from. */
export interface RestoreSource {
  readonly state: MachineState;
  /** The guest had connections, which it has to be told are gone. */
  readonly wasConnected: boolean;
  /** Where each byte of the saved RAM lies. */
  readonly memory: readonly MemoryRun[];
  /** What its guest needs first, if that is known or to be found out. */
  readonly workingSet: WorkingSet | "sought" | undefined;
}

/** The same, as far as a reset needs it: the memory is mapped already. */
export type SavedState = Omit<RestoreSource, "memory">;

/** What the machine has where its root image belongs. */
export type VmmConfig = Omit<EngineConfig, "rootfs"> & {
  /** Path of the image, or how many bytes of nothing. */
  readonly rootfs: string | { readonly emptyLength: number };
};

/** Any number above 2: it is not seen outside its own machine. */
const guestCid = 3;

/** In ms. Between two packets of a command less time passes, also on a slow machine; no driver waits for it. */
const moment = 100;

function later(task: () => void): () => void {
  const timer = setTimeout(task, moment);
  return () => clearTimeout(timer);
}

/** The recipe from a configuration and a state to a machine that goes on where the saved one stood. What fails undoes what was done. */
export function restoreMachine(
  config: VmmConfig,
  watch: DescriptorWatch,
  source: RestoreSource,
  clock: PhaseClock,
): BuiltMachine {
  using undo = new DisposalStack();
  const parts = assemble(config, { watch, undo, clock, source });
  putState(parts, source);
  clock.mark("restore state");
  bringInKnown(parts, source);
  clock.mark("bring in pages");
  return finish(parts, { kind: "restored" }, undo);
}

/**
 * Puts a machine whose vCPUs are paused back to where it was restored from: not a new VM, nor new devices. The drivers'
 * hold on the devices ends before their memory changes.
 */
export function resetMachine(built: BuiltMachine, saved: SavedState): void {
  built.slots.revert();
  // Pages that were written go; what is touched next comes from the snapshot again. Copying the saved bytes over them
  // was measured to cost more: finding them takes longer than dropping them all.
  for (const { mapping } of built.ram) mapping.advise(MADV_DONTNEED);
  built.balloon.restore(saved.state.balloon);
  putState(built, saved);
  bringInKnown(built, saved);
}

/** A machine without a beginning. */
export type MachineParts = Omit<BuiltMachine, "start" | typeof Symbol.dispose>;

interface Assembly {
  readonly watch: DescriptorWatch;
  readonly undo: DisposalStack;
  readonly clock: PhaseClock;
  readonly source?: RestoreSource;
}

/**
 * The clock and the interrupt controllers first; the devices last, because they may raise interrupts, which a vCPU's own
 * state would overwrite.
 */
function putState(
  { vm, serialState, slots, vsock }: MachineParts,
  { state, wasConnected }: SavedState,
): void {
  vm.restore(state.vm);
  for (const [index, vcpu] of state.vcpus.entries()) vm.restoreVcpu(index, vcpu);
  new Int32Array(serialState).set(state.serial);
  slots.restore(state.transports);
  if (wasConnected) vsock.resetConnections();
}

function bringInKnown(parts: MachineParts, { workingSet }: SavedState): void {
  if (workingSet !== undefined && workingSet !== "sought") bringIn(parts, workingSet);
}

/** What its shell has to be like. */
export function shellShapeOf({ cpus, memoryMiB, rootfs }: VmmConfig): ShellShape {
  const rootLength = typeof rootfs === "string" ? rootRegionLengthOf(rootfs) : rootfs.emptyLength;
  return { cpus, memoryMiB, rootLength };
}

/** Everything that a machine has, whatever it begins with; undone by `undo`. */
export function assemble(config: VmmConfig, { watch, undo, clock, source }: Assembly): MachineParts {
  const { memoryMiB, rootfs } = config;
  const shell = undo.use(spareShells.take(shellShapeOf(config)));
  const { vm, ram, root, vcpus, serialLine } = shell;
  clock.mark("make VM");
  if (source !== undefined) mapSavedRam(source.memory, ram, { singly: source.workingSet === "sought" });
  if (typeof rootfs === "string") putRootImage(rootfs, root.mapping);
  clock.mark("map memory");

  const vsock = new VsockDevice({ guestCid, later, ...(source && { state: source.state.vsock }) });
  const balloon = new BalloonDevice({
    ram: ramRegions(memoryMiB * MiB),
    release: (start, length) => releaseMemory(shell, { start, length }),
    ...(source && { state: source.state.balloon }),
  });
  const slots = undo.use(new VirtioSlots(shell, watch));
  // In the slot that has a doorbell: everything that a machine does goes through it.
  slots.plug(vsock);
  slots.plug(new RngDevice({ fill: (bytes) => void randomFillSync(bytes) }));
  slots.plug(balloon);
  slots.plug(new PmemDevice({ start: root.start, length: root.mapping.length }));
  undo.defer(() => vsock.close());
  const vsockSocket = join(config.directory, vsockSocketName);
  undo.use(new VsockSocket(vsockSocket, vsock));

  const serialState = new SharedArrayBuffer(serialStateWords * 4);
  resetSerialState(new Int32Array(serialState));
  clock.mark("plug devices");
  return { vm, ram, vcpus, slots, vsock, vsockSocket, balloon, serialLine, serialState };
}

/** Hands over what `undo` holds. */
export function finish(parts: MachineParts, start: MachineStart, undo: DisposalStack): BuiltMachine {
  const owned = undo.move();
  return { ...parts, start, [Symbol.dispose]: () => owned[Symbol.dispose]() };
}

/** Gives pages of RAM back to the host; the guest finds zeros, or what was saved, when it touches them again. */
function releaseMemory(
  { vm, ram }: Pick<BuiltMachine, "vm" | "ram">,
  range: { readonly start: number; readonly length: number },
): boolean {
  const home = ram.find(
    ({ start, mapping }) => range.start >= start && range.start + range.length <= start + mapping.length,
  );
  if (home === undefined) return false;
  // Nobody writes these pages, and yet they change.
  vm.memory.changed(gpa(range.start), range.length);
  home.mapping.advise(MADV_DONTNEED, { offset: range.start - home.start, length: range.length });
  return true;
}
