// Virtio 1.2, section 5.19: persistent memory device. The memory itself is the machine's business; here is only the
// queue by which the guest asks for it to be made persistent.
import { GuestFault } from "../../memory/guest-fault.ts";
import type { DescriptorChain } from "../../virtio/descriptor-chain.ts";
import type { VirtioDevice, VirtioSession } from "../../virtio/device.ts";
import type { VirtQueue } from "../../virtio/virt-queue.ts";
import { pmemConfig } from "./config.ts";

export interface PmemDeviceOptions {
  /** Guest-physical address of the region, aligned as the guest needs it (Linux: 2 MiB for DAX). */
  readonly start: number;
  readonly length: number;
  /** Makes everything that was written to the region persistent. Absent where nothing can be written. */
  readonly flush?: () => Promise<void> | void;
}

const REQUESTS = 0;
const VIRTIO_PMEM_REQ_TYPE_FLUSH = 0;
const SUCCESS = 0;
const FAILURE = 0xffff_ffff;

/**
 * A region of persistent memory.
 *
 * @example
 * ```ts
 * const root = new PmemDevice({ start: 0x1_0000_0000, length: imageLength });
 * ```
 */
export class PmemDevice implements VirtioDevice {
  readonly name = "pmem";
  readonly type = 27;
  readonly features = 0n;
  readonly queueSizes: readonly number[] = [64];
  readonly config: Uint8Array;
  readonly #flush: (() => Promise<void> | void) | undefined;
  #session: VirtioSession | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor({ start, length, flush }: PmemDeviceOptions) {
    this.config = pmemConfig({ start, length });
    this.#flush = flush;
  }

  activate(session: VirtioSession): void {
    this.#session = session;
  }

  deactivate(): void {
    this.#session = undefined;
  }

  settled(): Promise<void> {
    return this.#running;
  }

  onQueue(): void {
    const session = this.#session;
    const queue = session?.queue(REQUESTS);
    if (session === undefined || queue === undefined) return;
    const flushes: DescriptorChain[] = [];
    let left = queue.size;
    for (; left > 0; left--) {
      const chain = queue.pop();
      if (chain === undefined) break;
      if (requestType(chain) === VIRTIO_PMEM_REQ_TYPE_FLUSH) flushes.push(chain);
      else queue.complete(chain, answer(chain, FAILURE));
    }
    queue.flush();
    if (left === 0) session.again(REQUESTS);
    if (flushes.length > 0)
      this.#running = this.#answerFlushes(session, { queue, flushes, before: this.#running });
  }

  /** One flush serves all requests that were there before it began. Answered in order. */
  async #answerFlushes(session: VirtioSession, { queue, flushes, before }: Flushes): Promise<void> {
    let result = SUCCESS;
    try {
      await this.#flush?.();
    } catch {
      result = FAILURE;
    }
    await before;
    // After a reset of the device or of its queue, the requests' buffers are the driver's again.
    if (this.#session !== session || session.queue(REQUESTS) !== queue) return;
    try {
      for (const chain of flushes) queue.complete(chain, answer(chain, result));
      queue.flush();
    } catch (error) {
      if (!(error instanceof GuestFault)) throw error;
      session.needsReset(error.message);
    }
  }
}

interface Flushes {
  readonly queue: VirtQueue;
  readonly flushes: readonly DescriptorChain[];
  readonly before: Promise<void>;
}

function requestType(chain: DescriptorChain): number | undefined {
  const bytes = new Uint8Array(4);
  if (chain.read(0, bytes) < 4) return undefined;
  return new DataView(bytes.buffer).getUint32(0, true);
}

function answer(chain: DescriptorChain, result: number): number {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, result, true);
  return chain.write(0, bytes);
}
