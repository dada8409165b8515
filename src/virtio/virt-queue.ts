// Virtio 1.2, section 2.7: split virtqueues, the device's half.
import type { Gpa } from "../memory/address.ts";
import { GuestFault } from "../memory/guest-fault.ts";
import type { GuestMemory } from "../memory/guest-memory.ts";
import {
  DESCRIPTOR_LENGTH,
  VIRTQ_AVAIL_F_NO_INTERRUPT,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
} from "./constants.ts";
import { DescriptorChain, type Segment } from "./descriptor-chain.ts";
import { inside } from "./queue-layout.ts";
import type { QueueSetup } from "./transport-registers.ts";

/** Section 2.7.13.3.2 limits a chain to 2^32 bytes in all. */
const maxChainLength = 2 ** 32;

export interface VirtQueueOptions {
  readonly memory: GuestMemory;
  /** Checked by `queueSetupProblem`. */
  readonly setup: QueueSetup;
  /** VIRTIO_F_INDIRECT_DESC was negotiated. */
  readonly indirect: boolean;
  /** VIRTIO_F_EVENT_IDX was negotiated. */
  readonly eventIndex: boolean;
  /** Tells the driver about used buffers. */
  readonly interrupt: () => void;
  /** The driver broke the format: the device needs a reset. Called at most once. */
  readonly onFault: (reason: string) => void;
  /** True: nothing is to be taken now, whatever waits. Default: never. */
  readonly isHeld?: () => boolean;
}

/** Where a queue stands; with its set-up, all there is to save. */
export interface VirtQueuePosition {
  /** Next entry of the driver's ring to take, modulo 2^16. */
  readonly nextAvailable: number;
  /** Next entry of our ring to fill, modulo 2^16. */
  readonly nextUsed: number;
}

/**
 * Takes the driver's requests and returns them. A driver that breaks the format stops its queue, never the host:
 * `pop()` then returns undefined for good and `onFault` has been called.
 */
export class VirtQueue {
  readonly size: number;
  /** Where it is in the guest's memory. */
  readonly setup: QueueSetup;
  readonly #options: VirtQueueOptions;
  #nextAvailable = 0;
  #nextUsed = 0;
  /** Our index as the driver last saw it. */
  #publishedUsed = 0;
  #broken = false;

  constructor(options: VirtQueueOptions, position: VirtQueuePosition = { nextAvailable: 0, nextUsed: 0 }) {
    this.#options = options;
    this.setup = options.setup;
    this.size = options.setup.size;
    this.#nextAvailable = position.nextAvailable & 0xffff;
    this.#nextUsed = position.nextUsed & 0xffff;
    this.#publishedUsed = this.#nextUsed;
  }

  get position(): VirtQueuePosition {
    return { nextAvailable: this.#nextAvailable, nextUsed: this.#nextUsed };
  }

  /** Requests that were taken and have not been returned. */
  get outstanding(): number {
    return (this.#nextAvailable - this.#nextUsed) & 0xffff;
  }

  /** The next request, validated whole; undefined when there is none, and then the driver's next one will notify. */
  pop(): DescriptorChain | undefined {
    if (this.#broken || this.#options.isHeld?.() === true) return undefined;
    try {
      if (this.#pending() === 0 && !this.#armNotification()) return undefined;
      // Section 2.7.13: an entry is the driver's again only when it has been used. So much for what devices have to hold.
      if (this.outstanding >= this.size) return this.#fault("more requests than the queue has entries");
      return this.#take();
    } catch (error) {
      if (!(error instanceof GuestFault)) throw error;
      return this.#fault(error.message);
    }
  }

  /** Puts the last `pop()` back, so that the next one returns it again. */
  unpop(): void {
    this.#nextAvailable = (this.#nextAvailable - 1) & 0xffff;
  }

  /** Returns a request with the number of bytes written into it. The driver sees it after `flush()`. */
  complete(chain: DescriptorChain, written: number): void {
    if (this.#broken) return;
    const { memory, setup } = this.#options;
    const at = 4 + 8 * (this.#nextUsed & (this.size - 1));
    try {
      memory.setU32(inside(setup.device, at), chain.head);
      memory.setU32(inside(setup.device, at + 4), Math.min(written, 0xffff_ffff));
      this.#nextUsed = (this.#nextUsed + 1) & 0xffff;
    } catch (error) {
      if (!(error instanceof GuestFault)) throw error;
      this.#fault(error.message);
    }
  }

  /** Shows the driver what was completed, and interrupts it if it wants that (section 2.7.7.2). */
  flush(): void {
    if (this.#broken || this.#nextUsed === this.#publishedUsed) return;
    const { memory, setup, interrupt } = this.#options;
    const before = this.#publishedUsed;
    try {
      memory.storeRelease16(inside(setup.device, 2), this.#nextUsed);
      this.#publishedUsed = this.#nextUsed;
      // Both are sequentially consistent: the driver that we do not interrupt sees the index just stored.
      if (this.#wantsInterrupt(before)) interrupt();
    } catch (error) {
      if (!(error instanceof GuestFault)) throw error;
      this.#fault(error.message);
    }
  }

  /** How many requests wait. The driver cannot have more of them out than the queue has entries. */
  #pending(): number {
    const { memory, setup } = this.#options;
    const pending = (memory.loadAcquire16(inside(setup.driver, 2)) - this.#nextAvailable) & 0xffff;
    if (pending > this.size) {
      this.#fault(`the driver's index is ${pending} ahead in a queue of ${this.size}`);
      return 0;
    }
    return pending;
  }

  /** Asks for a notification of the next request (section 2.7.10); true when one came in meanwhile. */
  #armNotification(): boolean {
    const { memory, setup, eventIndex } = this.#options;
    if (this.#broken || !eventIndex) return false;
    memory.storeRelease16(inside(setup.device, 4 + 8 * this.size), this.#nextAvailable);
    return this.#pending() > 0;
  }

  #wantsInterrupt(before: number): boolean {
    const { memory, setup, eventIndex } = this.#options;
    if (!eventIndex) return (memory.loadAcquire16(setup.driver) & VIRTQ_AVAIL_F_NO_INTERRUPT) === 0;
    const event = memory.loadAcquire16(inside(setup.driver, 4 + 2 * this.size));
    return ((this.#nextUsed - event - 1) & 0xffff) < ((this.#nextUsed - before) & 0xffff);
  }

  #take(): DescriptorChain | undefined {
    const { memory, setup } = this.#options;
    const slot = this.#nextAvailable & (this.size - 1);
    const head = memory.u16(inside(setup.driver, 4 + 2 * slot));
    const walk = new ChainWalk(this.#options);
    const problem = walk.follow({ start: setup.descriptors, count: this.size }, head);
    if (problem !== undefined) return this.#fault(problem);
    this.#nextAvailable = (this.#nextAvailable + 1) & 0xffff;
    return new DescriptorChain(memory, { head, readable: walk.readable, writable: walk.writable });
  }

  #fault(reason: string): undefined {
    if (this.#broken) return undefined;
    this.#broken = true;
    this.#options.onFault(reason);
    return undefined;
  }
}

/** Collects a chain's segments. Each descriptor is read once; never more of them than the queue has entries. */
class ChainWalk {
  readonly readable: Segment[] = [];
  readonly writable: Segment[] = [];
  readonly #options: VirtQueueOptions;
  #left: number;
  #length = 0;

  constructor(options: VirtQueueOptions) {
    this.#options = options;
    this.#left = options.setup.size;
  }

  /** Walks a table from one entry on; returns what is wrong, if anything. */
  follow(table: { start: Gpa; count: number; isIndirect?: boolean }, first: number): string | undefined {
    const { memory } = this.#options;
    let index = first;
    for (;;) {
      if (index >= table.count) return `descriptor ${index} lies outside its table of ${table.count}`;
      if (this.#left-- === 0) return "a chain is longer than its queue";
      const at = inside(table.start, index * DESCRIPTOR_LENGTH);
      const address = memory.address64(at);
      const length = memory.u32(inside(at, 8));
      const flags = memory.u16(inside(at, 12));
      const next = memory.u16(inside(at, 14));
      const problem =
        (flags & VIRTQ_DESC_F_INDIRECT) !== 0
          ? this.#followIndirect(table.isIndirect ?? false, { address, length, flags })
          : this.#add({ address, length }, (flags & VIRTQ_DESC_F_WRITE) !== 0);
      if (problem !== undefined) return problem;
      if ((flags & VIRTQ_DESC_F_NEXT) === 0) return undefined;
      index = next;
    }
  }

  /** Section 2.7.5.3. The table's entries count towards the chain's length, the table itself does not. */
  #followIndirect(nested: boolean, entry: Segment & { flags: number }): string | undefined {
    if (!this.#options.indirect) return "an indirect descriptor, which was not negotiated";
    if (nested) return "an indirect descriptor inside an indirect table";
    if ((entry.flags & VIRTQ_DESC_F_NEXT) !== 0) return "an indirect descriptor with a successor";
    if (entry.length === 0 || entry.length % DESCRIPTOR_LENGTH !== 0)
      return `an indirect table of ${entry.length} bytes`;
    this.#left += 1;
    return this.follow(
      { start: entry.address, count: entry.length / DESCRIPTOR_LENGTH, isIndirect: true },
      0,
    );
  }

  #add(segment: Segment, writable: boolean): string | undefined {
    if (!writable && this.writable.length > 0) return "a readable descriptor after a writable one";
    if (segment.length === 0) return undefined;
    this.#length += segment.length;
    if (this.#length > maxChainLength) return "a chain of more than 2^32 bytes";
    if (!this.#options.memory.covers(segment.address, segment.length, { writable }))
      return `a buffer of ${segment.length} bytes at 0x${segment.address.toString(16)}, outside the memory`;
    (writable ? this.writable : this.readable).push(segment);
    return undefined;
  }
}
