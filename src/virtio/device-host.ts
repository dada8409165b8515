import { SupermachineError } from "../errors/supermachine-error.ts";
import { GuestFault } from "../memory/guest-fault.ts";
import type { GuestMemory } from "../memory/guest-memory.ts";
import { invalidSnapshot } from "../snapshot/snapshot-error.ts";
import * as v from "./constants.ts";
import type { InterruptLine, VirtioDevice, VirtioSession } from "./device.ts";
import type { TransportHooks } from "./mmio-transport.ts";
import { queueSetupProblem } from "./queue-layout.ts";
import { checkTransportFits, loadTransport, saveTransport } from "./saved-transport.ts";
import * as r from "./transport-registers.ts";
import type { TransportState } from "./transport-state.ts";
import { VirtQueue, type VirtQueuePosition } from "./virt-queue.ts";

export interface DeviceHostOptions {
  readonly memory: GuestMemory;
  readonly registers: r.TransportRegisters;
  readonly interrupt: InterruptLine;
  /** Runs a task when others had their turn: `setImmediate` where there is an event loop. Default: a microtask. */
  readonly defer?: (task: () => void) => void;
}

/** What every device of ours offers, besides the features of its type. */
const commonFeatures: bigint =
  v.VIRTIO_F_VERSION_1 | v.VIRTIO_F_INDIRECT_DESC | v.VIRTIO_F_EVENT_IDX | v.VIRTIO_F_RING_RESET;

/**
 * The device's side of a transport: publishes what the device offers in the registers, makes its queues when a driver
 * is ready, and takes everything away at a reset. Lives on the thread that owns the device.
 */
export class DeviceHost implements TransportHooks {
  readonly device: VirtioDevice;
  readonly #options: DeviceHostOptions;
  #queues: (VirtQueue | undefined)[] = [];
  #isActive = false;
  #isHeld = false;
  #lastFault: string | undefined;

  constructor(device: VirtioDevice, options: DeviceHostOptions) {
    this.device = device;
    this.#options = options;
    this.#publish();
  }

  /** Why the device last asked to be reset; for diagnosis. */
  get lastFault(): string | undefined {
    return this.#lastFault;
  }

  get isActive(): boolean {
    return this.#isActive;
  }

  /** Where a queue stands, or undefined where it is not in use. */
  position(queue: number): VirtQueuePosition | undefined {
    return this.#queues[queue]?.position;
  }

  reset(): void {
    if (this.#isActive) this.device.deactivate();
    this.#isActive = false;
    this.#queues = [];
    this.#lastFault = undefined;
  }

  /** The slot becomes as it was before any driver came; for a machine that is put back to where it had none. */
  revert(): void {
    this.reset();
    r.clearDriverWords(this.#options.registers);
    this.#publishConfig();
  }

  activate(): boolean {
    return this.#goLive([]);
  }

  /**
   * From now on the device leaves the guest's memory as it is: it takes nothing from its queues, whoever wants something
   * of it. Resolves when it has answered what it had taken before.
   */
  async hold(): Promise<void> {
    this.#isHeld = true;
    await this.device.settled?.();
  }

  /** It goes on with what has come together. */
  release(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    for (const index of this.#queues.keys()) this.#again(index);
  }

  /**
   * What a restored device goes on from; of the transport alone, the device's own state is the device's to save. To be
   * called with the processors paused and the device held.
   */
  save(): TransportState {
    const busy = this.#queues.find((queue) => queue !== undefined && queue.outstanding > 0);
    if (busy !== undefined)
      throw new SupermachineError(
        "INTERNAL",
        `Cannot save the ${this.device.name} device with requests under way`,
      );
    return saveTransport(this.#options.registers, this.#queues);
  }

  /**
   * Goes on where a saved device of the same kind stood; the memory must have been restored before. An interrupt that
   * the driver has not seen is raised again, and what waits in the queues is looked at: nobody notifies again.
   *
   * @throws SupermachineError SNAPSHOT_MISMATCH when it was another device, SNAPSHOT_INVALID when its queues are none.
   */
  restore(state: TransportState): void {
    if (this.#isActive) throw new RangeError(`The ${this.device.name} device is at work already`);
    checkTransportFits(state, this.device, this.device.features | commonFeatures);
    loadTransport(this.#options.registers, state);
    const wasLive = (state.status & (v.DRIVER_OK | v.FAILED)) === v.DRIVER_OK;
    const wasBroken = (state.status & v.DEVICE_NEEDS_RESET) !== 0;
    if (wasLive && !this.#goLive(state.queues) && !wasBroken)
      throw invalidSnapshot(`the ${this.device.name} device cannot go on: ${this.#lastFault}`);
    if (state.interruptStatus !== 0) this.#interrupt(state.interruptStatus);
    for (const index of this.#queues.keys()) this.#again(index);
  }

  stopQueue(queue: number): void {
    this.#queues[queue] = undefined;
  }

  startQueue(queue: number): boolean {
    return this.#isActive && this.#makeQueue(queue);
  }

  notify(queue: number): void {
    if (!this.#isActive || this.#queues[queue] === undefined || this.#isBroken || this.#isHeld) return;
    try {
      this.device.onQueue(queue);
    } catch (error) {
      // Memory that a request named was taken away meanwhile.
      if (!(error instanceof GuestFault)) throw error;
      this.#needsReset(`queue ${queue}: ${error.message}`);
    }
  }

  writeConfig(offset: number, data: Uint8Array): void {
    this.device.writeConfig?.(offset, data);
    this.#publishConfig();
  }

  get #words(): Int32Array {
    return this.#options.registers.words;
  }

  get #isBroken(): boolean {
    return (Atomics.load(this.#words, r.STATUS) & v.DEVICE_NEEDS_RESET) !== 0;
  }

  #publish(): void {
    const { device } = this;
    const features = device.features | commonFeatures;
    const set = (word: number, value: number): void => void Atomics.store(this.#words, word, value);
    set(r.DEVICE_FEATURES_LOW, Number(BigInt.asIntN(32, features)));
    set(r.DEVICE_FEATURES_HIGH, Number(BigInt.asIntN(32, features >> 32n)));
    set(r.QUEUE_COUNT, device.queueSizes.length);
    for (const [queue, size] of device.queueSizes.entries()) set(r.queueWord(queue, r.QUEUE_NUM_MAX), size);
    for (const [region, { start, length }] of (device.sharedRegions ?? []).entries())
      for (const [word, value] of [
        length % 2 ** 32,
        length / 2 ** 32,
        start % 2 ** 32,
        start / 2 ** 32,
      ].entries())
        set(r.sharedRegionWord(region, word), Math.floor(value) | 0);
    this.#publishConfig();
    // Last: a slot exists for the driver once it has a device id.
    set(r.DEVICE_ID, device.type);
  }

  #publishConfig(): void {
    const { config } = this.device;
    this.#options.registers.config.set(config);
    Atomics.store(this.#words, r.CONFIG_LENGTH, config.length);
  }

  #goLive(positions: readonly (VirtQueuePosition | undefined)[]): boolean {
    if (this.#isActive) return false;
    this.#queues = this.device.queueSizes.map(() => undefined);
    for (const index of this.#queues.keys()) {
      if (Atomics.load(this.#words, r.queueWord(index, r.QUEUE_READY)) === 0) continue;
      if (!this.#makeQueue(index, positions[index])) return false;
    }
    this.#isActive = true;
    this.device.activate(this.#session());
    return true;
  }

  #makeQueue(index: number, position?: VirtQueuePosition): boolean {
    const { memory, registers } = this.#options;
    const setup = r.readQueueSetup(registers, index);
    const maxSize = this.device.queueSizes[index] ?? 0;
    const problem =
      setup === undefined ? "an address is out of range" : queueSetupProblem(setup, memory, maxSize);
    if (setup === undefined || problem !== undefined) {
      this.#lastFault = `queue ${index}: ${problem}`;
      return false;
    }
    const features = this.#driverFeatures();
    this.#queues[index] = new VirtQueue(
      {
        memory,
        setup,
        indirect: (features & v.VIRTIO_F_INDIRECT_DESC) !== 0n,
        eventIndex: (features & v.VIRTIO_F_EVENT_IDX) !== 0n,
        interrupt: () => this.#interrupt(v.INTERRUPT_USED_BUFFER),
        onFault: (reason) => this.#needsReset(`queue ${index}: ${reason}`),
        isHeld: () => this.#isHeld,
      },
      position,
    );
    return true;
  }

  #session(): VirtioSession {
    return {
      memory: this.#options.memory,
      queue: (index) => this.#queues[index],
      features: this.#driverFeatures(),
      configChanged: () => {
        this.#publishConfig();
        Atomics.add(this.#words, r.CONFIG_GENERATION, 1);
        this.#interrupt(v.INTERRUPT_CONFIGURATION_CHANGE);
      },
      again: (queue) => this.#again(queue),
      needsReset: (reason) => this.#needsReset(reason),
    };
  }

  /** By then another driver may have the device; to be told of a queue where nothing waits does no harm. */
  #again(queue: number): void {
    const { defer = (task: () => void) => void Promise.resolve().then(task) } = this.#options;
    defer(() => this.notify(queue));
  }

  #driverFeatures(): bigint {
    const word = (index: number): bigint => BigInt.asUintN(32, BigInt(Atomics.load(this.#words, index)));
    return word(r.DRIVER_FEATURES_LOW) | (word(r.DRIVER_FEATURES_HIGH) << 32n);
  }

  /** Section 2.1.2: the driver is told by a configuration change. */
  #needsReset(reason: string): void {
    this.#lastFault = reason;
    Atomics.or(this.#words, r.STATUS, v.DEVICE_NEEDS_RESET);
    this.#interrupt(v.INTERRUPT_CONFIGURATION_CHANGE);
  }

  /** The cause is visible before the line is: the driver reads it in its handler. */
  #interrupt(cause: number): void {
    Atomics.or(this.#words, r.INTERRUPT_STATUS, cause);
    this.#options.interrupt.pulse();
  }
}
