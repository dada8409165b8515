import type { MmioDeviceSlot } from "../../arch/x64/acpi/dsdt.ts";
import {
  VIRTIO_GSI_START,
  VIRTIO_MMIO_START,
  VIRTIO_MMIO_STRIDE,
  VIRTIO_SLOTS,
} from "../../arch/x64/layout.ts";
import type { Doorbell } from "../../hypervisor/vm.ts";
import { DisposalStack } from "../../lifetime/disposal-stack.ts";
import { mismatchedSnapshot } from "../../snapshot/snapshot-error.ts";
import type { DescriptorWatch } from "../../sys/linux/descriptor-watch.ts";
import type { VirtioDevice } from "../../virtio/device.ts";
import { DeviceHost } from "../../virtio/device-host.ts";
import { transportRegisters, transportRegistersLength } from "../../virtio/transport-registers.ts";
import type { TransportState } from "../../virtio/transport-state.ts";
import type { MachineShell } from "./machine-shell.ts";
import type { DeviceRequest } from "./mailbox.ts";

/** The machine's virtio-mmio slots: their registers, and the devices that are plugged in. */
export class VirtioSlots implements Disposable {
  readonly registers: SharedArrayBuffer = new SharedArrayBuffer(VIRTIO_SLOTS * transportRegistersLength);
  readonly #shell: Pick<MachineShell, "vm" | "slots">;
  readonly #watch: DescriptorWatch;
  readonly #hosts: DeviceHost[] = [];
  readonly #doorbells: (() => void)[] = [];
  readonly #owned: DisposalStack = new DisposalStack();

  constructor(shell: Pick<MachineShell, "vm" | "slots">, watch: DescriptorWatch) {
    this.#shell = shell;
    this.#watch = watch;
  }

  /** Where each slot is, plugged or not, for the machine's description. */
  static layout(): MmioDeviceSlot[] {
    return Array.from({ length: VIRTIO_SLOTS }, (_, slot) => ({
      start: slotStart(slot),
      length: VIRTIO_MMIO_STRIDE,
      gsi: VIRTIO_GSI_START + slot,
    }));
  }

  /** Plugs a device into the next free slot. */
  plug(device: VirtioDevice): DeviceHost {
    const index = this.#hosts.length;
    const slot = this.#shell.slots[index];
    if (slot === undefined) throw new RangeError(`Machines have devices in ${index} slots`);
    const host = new DeviceHost(device, {
      memory: this.#shell.vm.memory,
      registers: transportRegisters(this.registers, index * transportRegistersLength),
      interrupt: slot.line,
      defer: (task) => void setImmediate(task),
    });
    this.#owned.defer(() => host.reset());
    if (slot.doorbell !== undefined) this.#connect(host, slot.doorbell);
    this.#hosts.push(host);
    return host;
  }

  /** Does what a vCPU's thread asks for; false also when there is no such device. */
  handle({ kind, slot, argument = 0, data = new Uint8Array(0) }: DeviceRequest): boolean {
    const host = this.#hosts[slot];
    if (host === undefined) return false;
    if (kind === "activate") return host.activate();
    if (kind === "startQueue") return host.startQueue(argument);
    if (kind === "reset") host.reset();
    else if (kind === "stopQueue") host.stopQueue(argument);
    else if (kind === "notify") host.notify(argument);
    else host.writeConfig(argument, data);
    return true;
  }

  /** Lets every device take what its driver has announced; for a machine whose vCPUs are paused. */
  settle(): void {
    for (const ring of this.#doorbells) ring();
  }

  /** Names of the plugged devices, by slot. */
  get names(): string[] {
    return this.#hosts.map(({ device }) => device.name);
  }

  /** What every plugged device's transport goes on from, by slot. */
  save(): TransportState[] {
    return this.#hosts.map((host) => host.save());
  }

  /**
   * Puts saved transports under the devices, which are of the same kinds in the same slots. Devices in slots beyond are
   * new to the guest.
   */
  restore(states: readonly TransportState[]): void {
    if (states.length > this.#hosts.length)
      throw mismatchedSnapshot(`it has ${states.length} devices, not ${this.#hosts.length}`);
    for (const [slot, state] of states.entries()) this.#hosts[slot]?.restore(state);
  }

  /** Takes every device from its driver, for a machine that is put back to a snapshot while its vCPUs are paused. */
  revert(): void {
    for (const host of this.#hosts) host.revert();
  }

  [Symbol.dispose](): void {
    this.#owned[Symbol.dispose]();
  }

  /** The kernel takes the guest's notification and signals a descriptor: the vCPU does not stop for it. */
  #connect(host: DeviceHost, doorbell: Doorbell): void {
    const ring = (): void => {
      if (!doorbell.take()) return;
      // Which one it rang for is not said; to look at a queue in which nothing waits does no harm.
      for (const queue of host.device.queueSizes.keys()) host.notify(queue);
    };
    this.#owned.use(this.#watch.add(doorbell.fd, ring));
    this.#doorbells.push(ring);
  }
}

function slotStart(slot: number): number {
  return VIRTIO_MMIO_START + slot * VIRTIO_MMIO_STRIDE;
}
