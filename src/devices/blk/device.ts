// Virtio 1.2, section 5.2: block device.
import { GuestFault } from "../../memory/guest-fault.ts";
import type { DescriptorChain } from "../../virtio/descriptor-chain.ts";
import type { VirtioDevice, VirtioSession } from "../../virtio/device.ts";
import type { VirtQueue } from "../../virtio/virt-queue.ts";
import type { BlkBackend } from "./backend.ts";
import * as c from "./config.ts";
import * as r from "./request.ts";

export interface BlkDeviceOptions {
  readonly backend: BlkBackend;
  /** Block size that the guest is told to use: 512 to 4096. Default 512. */
  readonly blockSize?: number;
}

export interface BlkCounters {
  readonly reads: number;
  readonly writes: number;
  /** Requests answered with an error, the backend's or the guest's own fault. */
  readonly failed: number;
}

const REQUESTS = 0;
/** Bytes of all reads under way, which are buffered here; more requests wait in the queue. */
const maxBytesUnderWay: number = 4 * c.MAX_REQUEST;

/**
 * A disk. Requests run side by side and are answered in the order in which they finish.
 *
 * @example
 * ```ts
 * const disk = new BlkDevice({ backend: new FileBackend("data.img") });
 * ```
 */
export class BlkDevice implements VirtioDevice {
  readonly name = "blk";
  readonly type = 2;
  readonly features: bigint;
  readonly queueSizes: readonly number[] = [c.QUEUE_SIZE];
  readonly config: Uint8Array;
  readonly #backend: BlkBackend;
  readonly #sectors: number;
  #session: VirtioSession | undefined;
  readonly #underWay = new Set<Promise<void>>();
  #bytesUnderWay = 0;
  #isStopped = false;
  readonly #counters = { reads: 0, writes: 0, failed: 0 };

  constructor({ backend, blockSize = r.SECTOR }: BlkDeviceOptions) {
    this.#backend = backend;
    this.#sectors = Math.floor(backend.length / r.SECTOR);
    this.features = c.blkFeatures(backend);
    this.config = c.blkConfig(backend, blockSize);
  }

  get counters(): BlkCounters {
    return { ...this.#counters };
  }

  activate(session: VirtioSession): void {
    this.#session = session;
    this.#isStopped = false;
  }

  /** Requests under way end without an answer, and what they read goes nowhere. */
  deactivate(): void {
    this.#session = undefined;
  }

  async settled(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  onQueue(): void {
    const session = this.#session;
    const queue = session?.queue(REQUESTS);
    if (session === undefined || queue === undefined) return;
    let left = queue.size;
    this.#isStopped = false;
    for (; left > 0; left--) {
      this.#isStopped = this.#bytesUnderWay >= maxBytesUnderWay;
      if (this.#isStopped) break;
      const chain = queue.pop();
      if (chain === undefined) break;
      this.#start(session, queue, chain);
    }
    queue.flush();
    if (left === 0) session.again(REQUESTS);
  }

  /** What can be answered at once is, and is flushed with the rest. */
  #start(session: VirtioSession, queue: VirtQueue, chain: DescriptorChain): void {
    const request = r.parseBlkRequest(chain);
    if (request === undefined) {
      this.#counters.failed++;
      return queue.complete(chain, 0);
    }
    let running: Promise<Outcome> | Outcome;
    try {
      running = this.#serve(session, chain, request);
    } catch (error) {
      if (error instanceof GuestFault) throw error;
      running = failure;
    }
    if (!(running instanceof Promise)) return this.#answer(queue, chain, running);
    const bytes = request.type === r.VIRTIO_BLK_T_IN ? request.inLength : 0;
    this.#bytesUnderWay += bytes;
    const task = running
      .catch(() => failure)
      .then((outcome) => {
        this.#underWay.delete(task);
        this.#bytesUnderWay -= bytes;
        this.#finish(session, { queue, chain, outcome });
      });
    this.#underWay.add(task);
  }

  /** After a reset of the device or of its queue, the request's buffers are the driver's again. */
  #finish(
    session: VirtioSession,
    { queue, chain, outcome }: { queue: VirtQueue; chain: DescriptorChain; outcome: Outcome },
  ): void {
    if (this.#session !== session || session.queue(REQUESTS) !== queue) return;
    try {
      this.#answer(queue, chain, outcome);
      queue.flush();
    } catch (error) {
      if (!(error instanceof GuestFault)) throw error;
      return session.needsReset(error.message);
    }
    if (this.#isStopped) session.again(REQUESTS);
  }

  /** The used length counts from the first writable byte, so without data the status alone may not be counted. */
  #answer(queue: VirtQueue, chain: DescriptorChain, { status, data }: Outcome): void {
    if (status !== r.VIRTIO_BLK_S_OK) this.#counters.failed++;
    const last = chain.writableLength - 1;
    const written = data === undefined ? 0 : chain.write(0, data.subarray(0, last));
    chain.write(last, Uint8Array.of(status));
    queue.complete(chain, written === last ? last + 1 : written);
  }

  #serve(session: VirtioSession, chain: DescriptorChain, request: r.BlkRequest): Promise<Outcome> | Outcome {
    switch (request.type) {
      case r.VIRTIO_BLK_T_IN:
        return this.#read(request);
      case r.VIRTIO_BLK_T_OUT:
        return this.#write(session, chain, request);
      case r.VIRTIO_BLK_T_FLUSH:
        return after(this.#backend.flush(), success);
      case r.VIRTIO_BLK_T_GET_ID:
        return { status: r.VIRTIO_BLK_S_OK, data: idBytes(this.#backend.id) };
      case r.VIRTIO_BLK_T_DISCARD:
      case r.VIRTIO_BLK_T_WRITE_ZEROES:
        return this.#serveRanges(chain, request);
      default:
        return unsupported;
    }
  }

  /** Into a buffer of ours: after a reset the guest's memory must not be written any more. */
  #read({ sector, inLength }: r.BlkRequest): Promise<Outcome> | Outcome {
    if (!this.#isInside(sector, inLength) || inLength > c.MAX_REQUEST) return failure;
    this.#counters.reads++;
    const data = new Uint8Array(inLength);
    return after(this.#backend.read(sector * r.SECTOR, [data]), { status: r.VIRTIO_BLK_S_OK, data });
  }

  /** Section 5.2.6.2: a driver that does not know of flushes relies on what was written to be persistent. */
  #write(session: VirtioSession, chain: DescriptorChain, request: r.BlkRequest): Promise<Outcome> | Outcome {
    const { sector, outLength } = request;
    if (this.#backend.readOnly || !this.#isInside(sector, outLength) || outLength > c.MAX_REQUEST)
      return failure;
    this.#counters.writes++;
    const slices = r.slicesFrom(chain.slices("readable"), r.REQUEST_HEADER_LENGTH);
    const written = this.#backend.write(sector * r.SECTOR, slices);
    if ((session.features & c.VIRTIO_BLK_F_FLUSH) !== 0n) return after(written, success);
    return Promise.resolve(written)
      .then(() => this.#backend.flush())
      .then(() => success);
  }

  #serveRanges(chain: DescriptorChain, { type, outLength }: r.BlkRequest): Promise<Outcome> | Outcome {
    const offered = type === r.VIRTIO_BLK_T_DISCARD ? c.VIRTIO_BLK_F_DISCARD : c.VIRTIO_BLK_F_WRITE_ZEROES;
    if ((this.features & offered) === 0n) return unsupported;
    if (outLength === 0 || outLength % r.RANGE_LENGTH !== 0 || outLength > c.MAX_RANGES * r.RANGE_LENGTH)
      return failure;
    const ranges = r.parseBlkRanges(chain, outLength);
    // Section 5.2.6.2: no flags but "unmap", and that one for write zeroes only.
    const flags = type === r.VIRTIO_BLK_T_DISCARD ? 0 : r.RANGE_UNMAP;
    if (ranges.some((range) => (range.flags & ~flags) !== 0)) return unsupported;
    for (const { sector, sectors } of ranges)
      if (sectors > c.MAX_RANGE_SECTORS || !this.#isInside(sector, sectors * r.SECTOR)) return failure;
    return this.#clearRanges(type, ranges);
  }

  async #clearRanges(type: number, ranges: readonly r.BlkRange[]): Promise<Outcome> {
    for (const { sector, sectors, flags } of ranges) {
      const position = sector * r.SECTOR;
      const length = sectors * r.SECTOR;
      if (type === r.VIRTIO_BLK_T_DISCARD) await this.#backend.discard?.(position, length);
      else await this.#backend.writeZeroes?.(position, length, { unmap: (flags & r.RANGE_UNMAP) !== 0 });
    }
    return success;
  }

  /** Whole sectors, up to the end and no further. */
  #isInside(sector: number, length: number): boolean {
    return length % r.SECTOR === 0 && sector + length / r.SECTOR <= this.#sectors;
  }
}

interface Outcome {
  readonly status: number;
  /** What goes into the writable part, before the status. */
  readonly data?: Uint8Array;
}

const success: Outcome = { status: r.VIRTIO_BLK_S_OK };
const failure: Outcome = { status: r.VIRTIO_BLK_S_IOERR };
const unsupported: Outcome = { status: r.VIRTIO_BLK_S_UNSUPP };

function after(running: Promise<void> | void, outcome: Outcome): Promise<Outcome> | Outcome {
  return running instanceof Promise ? running.then(() => outcome) : outcome;
}

function idBytes(id: string): Uint8Array {
  const bytes = new Uint8Array(r.ID_LENGTH);
  for (let index = 0; index < Math.min(id.length, bytes.length); index++)
    bytes[index] = id.charCodeAt(index) & 0x7f;
  return bytes;
}
