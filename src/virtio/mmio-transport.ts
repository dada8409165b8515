// Virtio 1.2, section 4.2.2: the register interface of a device on MMIO, and section 3.1: how a driver brings it up.
import type { BusDevice } from "../bus/bus-device.ts";
import * as v from "./constants.ts";
import { isQueueSize } from "./queue-layout.ts";
import * as r from "./transport-registers.ts";

/** What the device's side does when a driver asks for it. Each call returns when it has been done. */
export interface TransportHooks {
  /** Status became 0: forget everything about the driver. */
  reset(): void;
  /** DRIVER_OK was set. False: the device could not go live and needs a reset. */
  activate(): boolean;
  /** This queue is not to be used any more. */
  stopQueue(queue: number): void;
  /** This queue, which a reset had stopped, is to be used again (VIRTIO_F_RING_RESET). False: it cannot be. */
  startQueue(queue: number): boolean;
  /** The driver has put something into this queue. Where doorbells exist, the kernel calls this in our stead. */
  notify(queue: number): void;
  writeConfig(offset: number, data: Uint8Array): void;
}

/**
 * The protocol between a driver and its device, once for all devices. Every access that the specification does not
 * allow in the state at hand is ignored and counted. It holds no state of its own: all is in the registers, so that
 * every processor's thread can have a transport over the same ones. Racing processors of a hostile guest can leave
 * nonsense there, which is why the device's side reads a queue's set-up once and checks it again.
 */
export class MmioTransport implements BusDevice {
  readonly name: string;
  readonly #registers: r.TransportRegisters;
  readonly #hooks: TransportHooks;

  constructor(name: string, registers: r.TransportRegisters, hooks: TransportHooks) {
    this.name = name;
    this.#registers = registers;
    this.#hooks = hooks;
  }

  read(offset: number, into: Uint8Array): void {
    if (offset >= v.VIRTIO_MMIO_CONFIG) this.#readConfig(offset - v.VIRTIO_MMIO_CONFIG, into);
    else if (into.length !== 4 || offset % 4 !== 0) this.#refuse();
    else new DataView(into.buffer, into.byteOffset, 4).setUint32(0, this.#readRegister(offset) >>> 0, true);
  }

  write(offset: number, data: Uint8Array): void {
    if (this.#load(r.DEVICE_ID) === 0) return this.#refuse();
    if (offset >= v.VIRTIO_MMIO_CONFIG) return this.#writeConfig(offset - v.VIRTIO_MMIO_CONFIG, data);
    if (data.length !== 4 || offset % 4 !== 0) return this.#refuse();
    this.#writeRegister(offset, new DataView(data.buffer, data.byteOffset, 4).getUint32(0, true));
  }

  #readRegister(offset: number): number {
    switch (offset) {
      case v.VIRTIO_MMIO_MAGIC_VALUE:
        return v.MAGIC;
      case v.VIRTIO_MMIO_VERSION:
        return v.MMIO_VERSION;
      case v.VIRTIO_MMIO_DEVICE_ID:
        return this.#load(r.DEVICE_ID);
      case v.VIRTIO_MMIO_VENDOR_ID:
        return v.VENDOR_ID;
    }
    if (this.#load(r.DEVICE_ID) === 0) return 0;
    switch (offset) {
      case v.VIRTIO_MMIO_DEVICE_FEATURES:
        return this.#featureWord(r.DEVICE_FEATURES_LOW, this.#load(r.DEVICE_FEATURES_SEL));
      case v.VIRTIO_MMIO_QUEUE_NUM_MAX:
        return this.#queue(r.QUEUE_NUM_MAX);
      case v.VIRTIO_MMIO_QUEUE_NUM:
        return this.#queue(r.QUEUE_NUM);
      case v.VIRTIO_MMIO_QUEUE_READY:
        return this.#queue(r.QUEUE_READY);
      case v.VIRTIO_MMIO_INTERRUPT_STATUS:
        return this.#load(r.INTERRUPT_STATUS);
      case v.VIRTIO_MMIO_STATUS:
        return this.#load(r.STATUS);
      case v.VIRTIO_MMIO_SHM_LEN_LOW:
        return this.#sharedRegion(0);
      case v.VIRTIO_MMIO_SHM_LEN_HIGH:
        return this.#sharedRegion(1);
      case v.VIRTIO_MMIO_SHM_BASE_LOW:
        return this.#sharedRegion(2);
      case v.VIRTIO_MMIO_SHM_BASE_HIGH:
        return this.#sharedRegion(3);
      // A reset is done by the time the driver can look.
      case v.VIRTIO_MMIO_QUEUE_RESET:
        return 0;
      case v.VIRTIO_MMIO_CONFIG_GENERATION:
        return this.#load(r.CONFIG_GENERATION);
      default:
        this.#refuse();
        return 0;
    }
  }

  #writeRegister(offset: number, value: number): void {
    switch (offset) {
      case v.VIRTIO_MMIO_DEVICE_FEATURES_SEL:
        return this.#store(r.DEVICE_FEATURES_SEL, value);
      case v.VIRTIO_MMIO_DRIVER_FEATURES_SEL:
        return this.#store(r.DRIVER_FEATURES_SEL, value);
      case v.VIRTIO_MMIO_DRIVER_FEATURES:
        return this.#writeDriverFeatures(value);
      case v.VIRTIO_MMIO_QUEUE_SEL:
        return this.#store(r.QUEUE_SEL, value);
      case v.VIRTIO_MMIO_SHM_SEL:
        return this.#store(r.SHM_SEL, value);
      case v.VIRTIO_MMIO_QUEUE_NUM:
        return this.#writeQueueNum(value);
      case v.VIRTIO_MMIO_QUEUE_DESC_LOW:
        return this.#writeQueueAddress(r.QUEUE_DESC_LOW, value);
      case v.VIRTIO_MMIO_QUEUE_DESC_HIGH:
        return this.#writeQueueAddress(r.QUEUE_DESC_HIGH, value);
      case v.VIRTIO_MMIO_QUEUE_DRIVER_LOW:
        return this.#writeQueueAddress(r.QUEUE_DRIVER_LOW, value);
      case v.VIRTIO_MMIO_QUEUE_DRIVER_HIGH:
        return this.#writeQueueAddress(r.QUEUE_DRIVER_HIGH, value);
      case v.VIRTIO_MMIO_QUEUE_DEVICE_LOW:
        return this.#writeQueueAddress(r.QUEUE_DEVICE_LOW, value);
      case v.VIRTIO_MMIO_QUEUE_DEVICE_HIGH:
        return this.#writeQueueAddress(r.QUEUE_DEVICE_HIGH, value);
      case v.VIRTIO_MMIO_QUEUE_READY:
        return this.#writeQueueReady(value);
      case v.VIRTIO_MMIO_QUEUE_RESET:
        return this.#writeQueueReset(value);
      case v.VIRTIO_MMIO_QUEUE_NOTIFY:
        return this.#notify(value);
      case v.VIRTIO_MMIO_INTERRUPT_ACK:
        Atomics.and(this.#registers.words, r.INTERRUPT_STATUS, ~value);
        return;
      case v.VIRTIO_MMIO_STATUS:
        return this.#writeStatus(value);
      default:
        this.#refuse();
    }
  }

  /** Section 2.1.1: bits are only ever added, in order; 0 resets. DEVICE_NEEDS_RESET is the device's to set. */
  #writeStatus(value: number): void {
    if (value === 0) return this.#reset();
    const old = this.#load(r.STATUS);
    const added = value & ~old;
    if ((value & old) !== (old & ~v.DEVICE_NEEDS_RESET & 0xff) && (value & old) !== old)
      return this.#refuse();
    if (
      (old & v.FAILED) !== 0 ||
      (added & ~(v.ACKNOWLEDGE | v.DRIVER | v.FEATURES_OK | v.DRIVER_OK | v.FAILED)) !== 0
    )
      return this.#refuse();
    for (const [bit, needed] of statusOrder) {
      if ((added & bit) === 0) continue;
      if ((this.#load(r.STATUS) & needed) !== needed) return this.#refuse();
      if (bit === v.FEATURES_OK && !this.#acceptsFeatures()) return this.#refuse();
      Atomics.or(this.#registers.words, r.STATUS, bit);
      if (bit === v.DRIVER_OK && !this.#hooks.activate()) this.#needsReset();
    }
  }

  #reset(): void {
    this.#hooks.reset();
    r.clearDriverWords(this.#registers);
  }

  /** Section 2.2.2: nothing that was not offered; and section 6.2: no device of ours works without VERSION_1. */
  #acceptsFeatures(): boolean {
    const foreignLow = this.#load(r.DRIVER_FEATURES_LOW) & ~this.#load(r.DEVICE_FEATURES_LOW);
    const foreignHigh = this.#load(r.DRIVER_FEATURES_HIGH) & ~this.#load(r.DEVICE_FEATURES_HIGH);
    return foreignLow === 0 && foreignHigh === 0 && (this.#load(r.DRIVER_FEATURES_HIGH) & 1) === 1;
  }

  #writeDriverFeatures(value: number): void {
    const status = this.#load(r.STATUS);
    const select = this.#load(r.DRIVER_FEATURES_SEL) >>> 0;
    if ((status & (v.DRIVER | v.FEATURES_OK | v.FAILED)) !== v.DRIVER) return this.#refuse();
    if (select <= 1) this.#store(r.DRIVER_FEATURES_LOW + select, value);
    else if (value !== 0) this.#refuse();
  }

  #writeQueueNum(value: number): void {
    const queue = this.#configurableQueue();
    if (queue === undefined || !isQueueSize(value, this.#queue(r.QUEUE_NUM_MAX))) return this.#refuse();
    this.#store(r.queueWord(queue, r.QUEUE_NUM), value);
  }

  #writeQueueAddress(word: number, value: number): void {
    const queue = this.#configurableQueue();
    if (queue === undefined) return this.#refuse();
    this.#store(r.queueWord(queue, word), value);
  }

  /** Section 4.2.2.2: a queue is set up after the features are agreed on, and left alone while it is ready. */
  #configurableQueue(): number | undefined {
    const queue = this.#selectedQueue();
    const status = this.#load(r.STATUS);
    if (queue === undefined || (status & v.FEATURES_OK) === 0 || (status & v.FAILED) !== 0) return undefined;
    if (this.#queue(r.QUEUE_READY) !== 0) return undefined;
    return (status & v.DRIVER_OK) === 0 || this.#hasFeature(v.VIRTIO_F_RING_RESET) ? queue : undefined;
  }

  #writeQueueReady(value: number): void {
    if (value === 1) return this.#startQueue();
    const queue = this.#selectedQueue();
    if (value !== 0 || queue === undefined) return this.#refuse();
    if (this.#queue(r.QUEUE_READY) !== 0) this.#hooks.stopQueue(queue);
    this.#store(r.queueWord(queue, r.QUEUE_READY), 0);
  }

  #startQueue(): void {
    const queue = this.#configurableQueue();
    if (queue === undefined || this.#queue(r.QUEUE_NUM) === 0) return this.#refuse();
    this.#store(r.queueWord(queue, r.QUEUE_READY), 1);
    if ((this.#load(r.STATUS) & v.DRIVER_OK) !== 0 && !this.#hooks.startQueue(queue)) this.#needsReset();
  }

  /** Section 2.6.1. */
  #writeQueueReset(value: number): void {
    const queue = this.#selectedQueue();
    const live = (this.#load(r.STATUS) & v.DRIVER_OK) !== 0 && this.#hasFeature(v.VIRTIO_F_RING_RESET);
    if (value !== 1 || queue === undefined || !live || this.#queue(r.QUEUE_READY) === 0)
      return this.#refuse();
    this.#hooks.stopQueue(queue);
    for (let word = r.QUEUE_NUM; word <= r.QUEUE_DEVICE_HIGH; word++)
      this.#store(r.queueWord(queue, word), 0);
  }

  #notify(queue: number): void {
    const live = (this.#load(r.STATUS) & (v.DRIVER_OK | v.DEVICE_NEEDS_RESET | v.FAILED)) === v.DRIVER_OK;
    if (!live || queue >= this.#load(r.QUEUE_COUNT)) return this.#refuse();
    if (this.#load(r.queueWord(queue, r.QUEUE_READY)) === 0) return this.#refuse();
    this.#hooks.notify(queue);
  }

  /** Section 4.2.2.2: 1, 2 or 4 bytes, aligned. What lies past the end reads as zeros. */
  #readConfig(offset: number, into: Uint8Array): void {
    const length = this.#load(r.CONFIG_LENGTH);
    if (this.#load(r.DEVICE_ID) === 0 || offset + into.length > length) return this.#refuse();
    into.set(this.#registers.config.subarray(offset, offset + into.length));
  }

  #writeConfig(offset: number, data: Uint8Array): void {
    const status = this.#load(r.STATUS);
    const inside = offset + data.length <= this.#load(r.CONFIG_LENGTH);
    if ((status & v.DRIVER) === 0 || (status & v.FAILED) !== 0 || !inside) return this.#refuse();
    this.#hooks.writeConfig(offset, data);
  }

  #needsReset(): void {
    const { words } = this.#registers;
    Atomics.or(words, r.STATUS, v.DEVICE_NEEDS_RESET);
  }

  #hasFeature(feature: bigint): boolean {
    const low = BigInt.asUintN(32, BigInt(this.#load(r.DRIVER_FEATURES_LOW)));
    const high = BigInt.asUintN(32, BigInt(this.#load(r.DRIVER_FEATURES_HIGH)));
    return (((high << 32n) | low) & feature) !== 0n;
  }

  #featureWord(low: number, select: number): number {
    return select >>> 0 <= 1 ? this.#load(low + select) : 0;
  }

  #selectedQueue(): number | undefined {
    const queue = this.#load(r.QUEUE_SEL) >>> 0;
    return queue < this.#load(r.QUEUE_COUNT) ? queue : undefined;
  }

  /** A word of the selected queue; 0 when there is no such queue. */
  #queue(word: number): number {
    const queue = this.#selectedQueue();
    return queue === undefined ? 0 : this.#load(r.queueWord(queue, word));
  }

  /** Section 2.10.1: a region that does not exist has length and base of all ones. */
  #sharedRegion(word: number): number {
    const region = this.#load(r.SHM_SEL) >>> 0;
    if (region >= r.maxSharedRegions) return 0xffff_ffff;
    const lengthIsZero =
      this.#load(r.sharedRegionWord(region, 0)) === 0 && this.#load(r.sharedRegionWord(region, 1)) === 0;
    return lengthIsZero ? 0xffff_ffff : this.#load(r.sharedRegionWord(region, word));
  }

  #load(word: number): number {
    return Atomics.load(this.#registers.words, word);
  }

  #store(word: number, value: number): void {
    Atomics.store(this.#registers.words, word, value);
  }

  #refuse(): void {
    Atomics.add(this.#registers.words, r.REFUSED, 1);
  }
}

/** Each status bit with what must be set before it, in the order of section 3.1.1. */
const statusOrder: readonly (readonly [bit: number, needed: number])[] = [
  [v.ACKNOWLEDGE, 0],
  [v.DRIVER, v.ACKNOWLEDGE],
  [v.FEATURES_OK, v.DRIVER],
  [v.DRIVER_OK, v.FEATURES_OK],
  [v.FAILED, 0],
];
