import { ramRegions } from "../../arch/x64/layout.ts";
import type { VcpuTicket } from "../../hypervisor/vcpu.ts";
import type { Vm } from "../../hypervisor/vm.ts";
import { DisposalStack } from "../../lifetime/disposal-stack.ts";
import { gpa } from "../../memory/address.ts";
import { Mapping } from "../../sys/linux/mapping.ts";
import { hypervisor } from "./hypervisor.ts";

/** A piece of guest RAM, and the memory behind it. */
export interface RamPiece {
  /** Guest-physical. */
  readonly start: number;
  readonly mapping: Mapping;
}

/** What makes one shell as good as another. */
export interface ShellShape {
  readonly cpus: number;
  readonly memoryMiB: number;
}

/** What is the same in every machine of a shape, whatever it runs: a VM with vCPUs and empty RAM. */
export interface MachineShell extends Disposable {
  readonly vm: Vm;
  readonly ram: readonly RamPiece[];
  readonly vcpus: readonly VcpuTicket[];
}

/** Throws what the system refuses; then nothing is left. */
export function makeShell({ cpus, memoryMiB }: ShellShape): MachineShell {
  using undo = new DisposalStack();
  // Mappings first: they are released last, when no vCPU and no device can reach them.
  const ram = ramRegions(memoryMiB * 2 ** 20).map(({ start, length }) => ({
    start,
    mapping: undo.use(Mapping.anonymous(length)),
  }));
  const vm = undo.use(hypervisor.createVm());
  for (const { start, mapping } of ram) vm.addMemory(gpa(start), mapping);
  const vcpus = Array.from({ length: cpus }, (_, index) => vm.createVcpu(index));
  const owned = undo.move();
  return { vm, ram, vcpus, [Symbol.dispose]: () => owned[Symbol.dispose]() };
}
