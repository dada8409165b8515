import { type Gpa, gpa } from "../../memory/address.ts";
import type { GuestMemory } from "../../memory/guest-memory.ts";
import * as v from "../constants.ts";
import type { MmioTransport } from "../mmio-transport.ts";
import { queuePartLengths } from "../queue-layout.ts";

/** One buffer of a request: bytes for the device to read, or room for it to write into. */
export type BufferSpec = { readonly read: Uint8Array } | { readonly write: number };

/** A request that the device has returned. */
export interface UsedRequest {
  readonly head: number;
  /** As the device claims. */
  readonly written: number;
  /** The writable buffers' content, in order. */
  readonly output: Uint8Array;
}

/** A descriptor exactly as it is to stand in the table, however wrong. */
export interface RawDescriptor {
  readonly address: number | bigint;
  readonly length: number;
  readonly flags: number;
  readonly next: number;
}

/**
 * The driver's half of a virtio device, for tests: brings a device up through its registers, queues requests in guest
 * memory and collects what comes back. Where a test wants to break the rules, it writes descriptors and registers
 * itself.
 *
 * @example
 * ```ts
 * const driver = new DriverDouble(memory, transport);
 * driver.bringUp();
 * driver.add(0, [{ read: request }, { write: 16 }]);
 * driver.notify(0);
 * const [used] = driver.collect(0);
 * ```
 */
export class DriverDouble {
  readonly memory: GuestMemory;
  readonly #transport: MmioTransport;
  readonly #queues: DriverQueue[] = [];
  #allocated: number;

  constructor(memory: GuestMemory, transport: MmioTransport, options: { firstFree?: number } = {}) {
    this.memory = memory;
    this.#transport = transport;
    this.#allocated = options.firstFree ?? 0x1000;
  }

  /** Section 3.1.1, all of it; `features` are taken from what is offered. */
  bringUp(options: { features?: bigint; queueSize?: number } = {}): void {
    this.negotiate(options.features);
    for (let index = 0; this.setUpQueue(index, options.queueSize); index++);
    this.setStatus(v.DRIVER_OK);
  }

  /** Up to and with FEATURES_OK; returns whether the device agreed. */
  negotiate(features: bigint = v.VIRTIO_F_INDIRECT_DESC | v.VIRTIO_F_EVENT_IDX): boolean {
    this.writeRegister(v.VIRTIO_MMIO_STATUS, 0);
    this.setStatus(v.ACKNOWLEDGE);
    this.setStatus(v.DRIVER);
    const wanted = (features & this.offeredFeatures()) | v.VIRTIO_F_VERSION_1;
    for (const select of [0, 1]) {
      this.writeRegister(v.VIRTIO_MMIO_DRIVER_FEATURES_SEL, select);
      this.writeRegister(
        v.VIRTIO_MMIO_DRIVER_FEATURES,
        Number((wanted >> BigInt(32 * select)) & 0xffff_ffffn),
      );
    }
    this.setStatus(v.FEATURES_OK);
    return (this.status & v.FEATURES_OK) !== 0;
  }

  offeredFeatures(): bigint {
    const word = (select: number): bigint => {
      this.writeRegister(v.VIRTIO_MMIO_DEVICE_FEATURES_SEL, select);
      return BigInt(this.readRegister(v.VIRTIO_MMIO_DEVICE_FEATURES));
    };
    return word(0) | (word(1) << 32n);
  }

  /** Allocates and enables a queue; false when the device has no such queue. */
  setUpQueue(index: number, size?: number): boolean {
    this.writeRegister(v.VIRTIO_MMIO_QUEUE_SEL, index);
    const max = this.readRegister(v.VIRTIO_MMIO_QUEUE_NUM_MAX);
    if (max === 0) return false;
    const queue = this.#allocateQueue(Math.min(max, size ?? 16));
    this.#queues[index] = queue;
    this.writeRegister(v.VIRTIO_MMIO_QUEUE_NUM, queue.size);
    this.writeRegister(v.VIRTIO_MMIO_QUEUE_DESC_LOW, queue.descriptors);
    this.writeRegister(v.VIRTIO_MMIO_QUEUE_DRIVER_LOW, queue.driver);
    this.writeRegister(v.VIRTIO_MMIO_QUEUE_DEVICE_LOW, queue.device);
    this.writeRegister(v.VIRTIO_MMIO_QUEUE_READY, 1);
    return true;
  }

  get status(): number {
    return this.readRegister(v.VIRTIO_MMIO_STATUS);
  }

  setStatus(bit: number): void {
    this.writeRegister(v.VIRTIO_MMIO_STATUS, this.status | bit);
  }

  readRegister(offset: number): number {
    const bytes = new Uint8Array(4);
    this.#transport.read(offset, bytes);
    return new DataView(bytes.buffer).getUint32(0, true);
  }

  writeRegister(offset: number, value: number): void {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, value >>> 0, true);
    this.#transport.write(offset, bytes);
  }

  readConfig(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; at++)
      this.#transport.read(v.VIRTIO_MMIO_CONFIG + offset + at, bytes.subarray(at, at + 1));
    return bytes;
  }

  /** Queues a request and returns its head descriptor; `indirect` puts its descriptors into a table of their own. */
  add(index: number, buffers: readonly BufferSpec[], options: { indirect?: boolean } = {}): number {
    const queue = this.queue(index);
    const placed = buffers.map((buffer) => this.#placeBuffer(buffer));
    queue.requests.set(
      queue.nextDescriptor,
      placed.filter(({ flags }) => flags === v.VIRTQ_DESC_F_WRITE),
    );
    if (options.indirect) {
      const table = this.allocate(placed.length * v.DESCRIPTOR_LENGTH, 16);
      for (const [at, buffer] of placed.entries())
        this.writeDescriptor(table, at, chained(buffer, at, placed.length));
      const entry = { address: table, length: placed.length * v.DESCRIPTOR_LENGTH };
      return this.addRaw(index, [{ ...entry, flags: v.VIRTQ_DESC_F_INDIRECT, next: 0 }]);
    }
    const first = queue.nextDescriptor;
    return this.addRaw(
      index,
      placed.map((buffer, at) => {
        const raw = chained(buffer, at, placed.length);
        return { ...raw, next: (first + raw.next) % queue.size };
      }),
    );
  }

  /** Queues descriptors as they are, in the table's next places. */
  addRaw(index: number, descriptors: readonly RawDescriptor[]): number {
    const queue = this.queue(index);
    const head = queue.nextDescriptor;
    for (const descriptor of descriptors) {
      this.writeDescriptor(queue.descriptors, queue.nextDescriptor, descriptor);
      queue.nextDescriptor = (queue.nextDescriptor + 1) % queue.size;
    }
    this.offer(index, head);
    return head;
  }

  /** Puts a head into the driver's ring, whatever it is. */
  offer(index: number, head: number): void {
    const queue = this.queue(index);
    this.memory.setU16(gpa(queue.driver + 4 + 2 * (queue.nextAvailable % queue.size)), head);
    queue.nextAvailable = (queue.nextAvailable + 1) & 0xffff;
    this.setAvailableIndex(index, queue.nextAvailable);
  }

  setAvailableIndex(index: number, value: number): void {
    this.memory.setU16(gpa(this.queue(index).driver + 2), value);
  }

  /** The ring index at which the driver wants the next interrupt (VIRTIO_F_EVENT_IDX). */
  setUsedEvent(index: number, value: number): void {
    const queue = this.queue(index);
    this.memory.setU16(gpa(queue.driver + 4 + 2 * queue.size), value);
  }

  notify(index: number): void {
    this.writeRegister(v.VIRTIO_MMIO_QUEUE_NOTIFY, index);
  }

  /** Takes what the device has returned since the last call. */
  collect(index: number): UsedRequest[] {
    const queue = this.queue(index);
    const used: UsedRequest[] = [];
    const end = this.memory.u16(gpa(queue.device + 2));
    while (queue.nextUsed !== end) {
      const at = queue.device + 4 + 8 * (queue.nextUsed % queue.size);
      const head = this.memory.u32(gpa(at));
      used.push({ head, written: this.memory.u32(gpa(at + 4)), output: this.#output(queue, head) });
      queue.nextUsed = (queue.nextUsed + 1) & 0xffff;
    }
    return used;
  }

  /** Reads and acknowledges the interrupt causes. */
  takeInterrupts(): number {
    const causes = this.readRegister(v.VIRTIO_MMIO_INTERRUPT_STATUS);
    this.writeRegister(v.VIRTIO_MMIO_INTERRUPT_ACK, causes);
    return causes;
  }

  queue(index: number): DriverQueue {
    const queue = this.#queues[index];
    if (queue === undefined) throw new RangeError(`Queue ${index} has not been set up`);
    return queue;
  }

  /** Fresh guest memory, never given back. */
  allocate(length: number, alignment = 1): Gpa {
    const start = Math.ceil(this.#allocated / alignment) * alignment;
    this.#allocated = start + length;
    return gpa(start);
  }

  writeDescriptor(table: Gpa, index: number, descriptor: RawDescriptor): void {
    const bytes = new Uint8Array(v.DESCRIPTOR_LENGTH);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, BigInt(descriptor.address), true);
    view.setUint32(8, descriptor.length, true);
    view.setUint16(12, descriptor.flags, true);
    view.setUint16(14, descriptor.next, true);
    this.memory.write(gpa(table + index * v.DESCRIPTOR_LENGTH), bytes);
  }

  #allocateQueue(size: number): DriverQueue {
    const lengths = queuePartLengths(size);
    return {
      size,
      descriptors: this.allocate(lengths.descriptors, 16),
      driver: this.allocate(lengths.driver, 2),
      device: this.allocate(lengths.device, 4),
      nextDescriptor: 0,
      nextAvailable: 0,
      nextUsed: 0,
      requests: new Map(),
    };
  }

  #placeBuffer(buffer: BufferSpec): PlacedBuffer {
    if ("write" in buffer)
      return { address: this.allocate(buffer.write), length: buffer.write, flags: v.VIRTQ_DESC_F_WRITE };
    const address = this.allocate(buffer.read.length);
    this.memory.write(address, buffer.read);
    return { address, length: buffer.read.length, flags: 0 };
  }

  #output(queue: DriverQueue, head: number): Uint8Array {
    const buffers = queue.requests.get(head) ?? [];
    const output = new Uint8Array(buffers.reduce((sum, { length }) => sum + length, 0));
    let offset = 0;
    for (const { address, length } of buffers) {
      this.memory.read(address, output.subarray(offset, offset + length));
      offset += length;
    }
    return output;
  }
}

/** Where the driver's half keeps a queue. */
export interface DriverQueue {
  readonly size: number;
  readonly descriptors: Gpa;
  readonly driver: Gpa;
  readonly device: Gpa;
  nextDescriptor: number;
  nextAvailable: number;
  nextUsed: number;
  /** Writable buffers by head. */
  readonly requests: Map<number, readonly PlacedBuffer[]>;
}

interface PlacedBuffer {
  readonly address: Gpa;
  readonly length: number;
  readonly flags: number;
}

function chained(buffer: PlacedBuffer, at: number, count: number): RawDescriptor {
  const isLast = at === count - 1;
  return { ...buffer, flags: buffer.flags | (isLast ? 0 : v.VIRTQ_DESC_F_NEXT), next: isLast ? 0 : at + 1 };
}
