// Virtio 1.2, section 5.5: traditional memory balloon device.
import { SupermachineError } from "../../errors/supermachine-error.ts";
import { type Deferred, deferred } from "../../streams/deferred.ts";
import type { DescriptorChain } from "../../virtio/descriptor-chain.ts";
import type { VirtioDevice, VirtioSession } from "../../virtio/device.ts";
import type { VirtQueue } from "../../virtio/virt-queue.ts";
import { BALLOON_PAGE, balloonConfig, CONFIG_ACTUAL } from "./config.ts";
import { PageSet, type RamRegion } from "./page-set.ts";
import { type AddressRange, coalesce, intersect, wholePages } from "./ranges.ts";
import type { BalloonState } from "./state.ts";
import { type BalloonStatistics, MAX_STATISTICS_LENGTH, parseStatistics } from "./statistics.ts";

export interface BalloonDeviceOptions {
  /** The guest's RAM: nothing else is ever released, whatever the guest names. */
  readonly ram: readonly RamRegion[];
  /**
   * Gives the memory behind a range back to the host; the guest reads it as anything afterwards. Whole pages of the
   * host's. False: it could not be given back.
   */
  readonly release: (start: number, length: number) => boolean;
  /** Bytes of the host's pages. Default 4096. */
  readonly hostPageSize?: number;
  /** A saved device's, to go on with. */
  readonly state?: BalloonState;
}

/** One balloon's gauges. */
export interface BalloonGauges {
  /** Pages of 4 KiB that the host asks for. */
  readonly targetPages: number;
  /** Pages that the guest says it has given. */
  readonly actualPages: number;
  /** Pages in the balloon now whose memory the host really has got back. */
  readonly releasedPages: number;
  /** Bytes got back by free page reporting; counts up, for the guest uses the pages again without a word. */
  readonly reportedBytes: number;
  /** Releases that failed; counts up. */
  readonly failedReleases: number;
}

const INFLATE = 0;
const DEFLATE = 1;
const STATISTICS = 2;
// Section 5.5.2 gives reporting number 4, but Linux numbers the queues that exist one after the other.
const REPORTING = [3, 4];

const VIRTIO_BALLOON_F_MUST_TELL_HOST: bigint = 1n << 0n;
const VIRTIO_BALLOON_F_STATS_VQ: bigint = 1n << 1n;
const VIRTIO_BALLOON_F_DEFLATE_ON_OOM: bigint = 1n << 2n;
const VIRTIO_BALLOON_F_PAGE_REPORTING: bigint = 1n << 5n;

/** A list of pages in one request may have this many bytes, or a 1024th of the RAM if that is more. */
const minListCap = 2 ** 20;

/**
 * The balloon: memory that the host asks the guest for, and memory that the guest reports as free of itself.
 *
 * @example
 * ```ts
 * const balloon = new BalloonDevice({ ram: ramRegions(bytes), release: (start, length) => memory.discard(start, length) });
 * balloon.requestPages(25_600); // 100 MiB
 * ```
 */
export class BalloonDevice implements VirtioDevice {
  readonly name = "balloon";
  readonly type = 5;
  readonly features: bigint =
    VIRTIO_BALLOON_F_MUST_TELL_HOST |
    VIRTIO_BALLOON_F_STATS_VQ |
    VIRTIO_BALLOON_F_DEFLATE_ON_OOM |
    VIRTIO_BALLOON_F_PAGE_REPORTING;
  readonly queueSizes: readonly number[] = [64, 64, 4, 64, 64];
  readonly #ram: readonly RamRegion[];
  readonly #release: (start: number, length: number) => boolean;
  readonly #hostPageSize: number;
  readonly #listCap: number;
  /** Pages that the guest has put into the balloon. */
  readonly #inside: PageSet;
  /** Those of them that were released. */
  readonly #released: PageSet;
  #targetPages: number;
  #actualPages: number;
  #reportedBytes = 0;
  #failedReleases = 0;
  #session: VirtioSession | undefined;
  #statistics: BalloonStatistics | undefined;
  #wanted: Deferred<BalloonStatistics> | undefined;

  constructor({ ram, release, hostPageSize = BALLOON_PAGE, state }: BalloonDeviceOptions) {
    if (hostPageSize < BALLOON_PAGE || (hostPageSize & (hostPageSize - 1)) !== 0)
      throw new RangeError(`A host's pages are a power of two from ${BALLOON_PAGE} on, not ${hostPageSize}`);
    this.#ram = ram;
    this.#release = release;
    this.#hostPageSize = hostPageSize;
    this.#listCap = Math.max(Math.floor(ram.reduce((sum, { length }) => sum + length, 0) / 1024), minListCap);
    this.#inside = new PageSet(ram);
    this.#released = new PageSet(ram);
    this.#targetPages = state?.targetPages ?? 0;
    this.#actualPages = state?.actualPages ?? 0;
  }

  get config(): Uint8Array {
    return balloonConfig({ target: this.#targetPages, actual: this.#actualPages });
  }

  get gauges(): BalloonGauges {
    return {
      targetPages: this.#targetPages,
      actualPages: this.#actualPages,
      releasedPages: this.#released.size,
      reportedBytes: this.#reportedBytes,
      failedReleases: this.#failedReleases,
    };
  }

  /** What the guest last said of its memory, if it has. */
  get lastStatistics(): BalloonStatistics | undefined {
    return this.#statistics;
  }

  /** Asks the guest to have so many pages of 4 KiB in the balloon, from now on. */
  requestPages(pages: number): void {
    if (!Number.isInteger(pages) || pages < 0 || pages > 0xffff_ffff)
      throw new RangeError(`A balloon cannot hold ${pages} pages`);
    if (pages === this.#targetPages) return;
    this.#targetPages = pages;
    this.#session?.configChanged();
  }

  /** Fresh statistics from the guest; rejects with UNSUPPORTED when its driver gives none, or goes away. */
  async statistics(): Promise<BalloonStatistics> {
    const queue = this.#offersStatistics ? this.#session?.queue(STATISTICS) : undefined;
    if (queue === undefined) throw noStatistics();
    const wanted = this.#wanted ?? deferred<BalloonStatistics>();
    if (this.#wanted === undefined) {
      this.#wanted = wanted;
      this.#returnStatisticsBuffer(queue);
    }
    return await wanted.promise;
  }

  save(): BalloonState {
    return { targetPages: this.#targetPages, actualPages: this.#actualPages };
  }

  /** Goes on from a saved device's state, or with an empty balloon; before its transport is restored. */
  restore({ targetPages, actualPages }: BalloonState): void {
    this.#targetPages = targetPages;
    this.#actualPages = actualPages;
    this.#inside.clear();
    this.#released.clear();
    this.#reportedBytes = 0;
    this.#statistics = undefined;
    this.#refuseStatistics();
  }

  activate(session: VirtioSession): void {
    this.#session = session;
  }

  /** The pages are the guest's again: a driver that starts over has an empty balloon. */
  deactivate(): void {
    this.#session = undefined;
    this.#inside.clear();
    this.#released.clear();
    this.#actualPages = 0;
    this.#refuseStatistics();
  }

  writeConfig(offset: number, data: Uint8Array): void {
    if (offset !== CONFIG_ACTUAL || data.length !== 4) return;
    this.#actualPages = new DataView(data.buffer, data.byteOffset, 4).getUint32(0, true);
  }

  onQueue(index: number): void {
    if (index === INFLATE) this.#drain(index, (chain) => this.#inflate(chain));
    else if (index === DEFLATE) this.#drain(index, (chain) => this.#deflate(chain));
    else if (index === STATISTICS && this.#offersStatistics) this.#takeStatistics();
    else if (index === STATISTICS || REPORTING.includes(index)) this.#takeReports(index);
  }

  /** One interrupt for all that waits. */
  #drain(index: number, serve: (chain: DescriptorChain) => number): void {
    const queue = this.#session?.queue(index);
    if (queue === undefined) return;
    let left = queue.size;
    for (; left > 0; left--) {
      const chain = queue.pop();
      if (chain === undefined) break;
      queue.complete(chain, serve(chain));
    }
    queue.flush();
    if (left === 0) this.#session?.again(index);
  }

  /** Answers with the list's length, as balloons always have; with 0 when the list is longer than allowed. */
  #inflate(chain: DescriptorChain): number {
    if (chain.readableLength > this.#listCap) return 0;
    const pages = this.#readList(chain).filter((page) => this.#inside.add(page));
    for (const { start, length } of this.#wholeHostPages(pages)) {
      if (!this.#tryRelease(start, length)) continue;
      for (let page = start / BALLOON_PAGE; page < (start + length) / BALLOON_PAGE; page++)
        this.#released.add(page);
    }
    return chain.readableLength;
  }

  #deflate(chain: DescriptorChain): number {
    for (const page of this.#readList(chain)) {
      this.#inside.delete(page);
      this.#released.delete(page);
    }
    return chain.readableLength + chain.writableLength;
  }

  /** Page frame numbers, as far as they are RAM; an incomplete last one is ignored. */
  #readList(chain: DescriptorChain): number[] {
    const bytes = new Uint8Array(Math.min(chain.readableLength, this.#listCap));
    const length = chain.read(0, bytes);
    const view = new DataView(bytes.buffer);
    const pages: number[] = [];
    for (let at = 0; at + 4 <= length; at += 4) {
      const page = view.getUint32(at, true);
      if (this.#inside.covers(page)) pages.push(page);
    }
    return pages;
  }

  /**
   * The host's pages that these pages complete, as ranges. Where the guest tells before it takes a page back, the
   * rest of a host page may have come in earlier; otherwise it may be in use again, and only this list counts.
   */
  #wholeHostPages(pages: readonly number[]): AddressRange[] {
    const runs = coalesce(pages.map((page) => ({ start: page * BALLOON_PAGE, length: BALLOON_PAGE })));
    const tells = ((this.#session?.features ?? 0n) & VIRTIO_BALLOON_F_MUST_TELL_HOST) !== 0n;
    return coalesce(
      (tells ? runs.map((run) => this.#widen(run)) : runs)
        .map((run) => wholePages(run, this.#hostPageSize))
        .filter((range) => range !== undefined),
    );
  }

  /** A run with the neighbours that are in the balloon too, inside the host's pages at its ends. */
  #widen({ start, length }: AddressRange): AddressRange {
    let first = start / BALLOON_PAGE;
    let end = (start + length) / BALLOON_PAGE;
    const perHostPage = this.#hostPageSize / BALLOON_PAGE;
    while (first % perHostPage !== 0 && this.#inside.has(first - 1)) first--;
    while (end % perHostPage !== 0 && this.#inside.has(end)) end++;
    return { start: first * BALLOON_PAGE, length: (end - first) * BALLOON_PAGE };
  }

  /** Free page reporting (section 5.5.6.6): the request's buffers are the pages. */
  #takeReports(index: number): void {
    if (((this.#session?.features ?? 0n) & VIRTIO_BALLOON_F_PAGE_REPORTING) === 0n) return;
    this.#drain(index, (chain) => {
      for (const { start, length } of this.#reported(chain))
        if (this.#tryRelease(start, length)) this.#reportedBytes += length;
      return 0;
    });
  }

  #reported(chain: DescriptorChain): AddressRange[] {
    const ranges = chain.writable.map(({ address, length }) => ({ start: address, length }));
    return coalesce(ranges)
      .flatMap((range) => this.#ram.map((region) => intersect(range, region)))
      .filter((range) => range !== undefined)
      .map((range) => wholePages(range, this.#hostPageSize))
      .filter((range) => range !== undefined);
  }

  #tryRelease(start: number, length: number): boolean {
    const released = this.#release(start, length);
    if (!released) this.#failedReleases++;
    return released;
  }

  get #offersStatistics(): boolean {
    return ((this.#session?.features ?? 0n) & VIRTIO_BALLOON_F_STATS_VQ) !== 0n;
  }

  /**
   * Section 5.5.6.3: the driver has one buffer out, which the device keeps until it wants new statistics. It stays in
   * the queue for that, so that nothing is lost in a snapshot; looking past it arms the next notification.
   */
  #takeStatistics(): void {
    const queue = this.#session?.queue(STATISTICS);
    let chain = queue?.pop();
    if (queue === undefined || chain === undefined) return;
    for (let left = queue.size; left > 0; left--) {
      const newer = queue.pop();
      if (newer === undefined) break;
      queue.complete(chain, 0);
      chain = newer;
    }
    const bytes = new Uint8Array(Math.min(chain.readableLength, MAX_STATISTICS_LENGTH));
    chain.read(0, bytes);
    queue.unpop();
    queue.flush();
    this.#statistics = parseStatistics(bytes);
    this.#wanted?.resolve(this.#statistics);
    this.#wanted = undefined;
  }

  /** Whoever waits for statistics waits in vain: the driver that was asked is gone, or has forgotten it. */
  #refuseStatistics(): void {
    this.#wanted?.reject(noStatistics());
    this.#wanted = undefined;
  }

  /** The driver answers by putting a fresh one in. Without a buffer there, it has yet to offer its first. */
  #returnStatisticsBuffer(queue: VirtQueue): void {
    const chain = queue.pop();
    if (chain === undefined) return;
    queue.complete(chain, 0);
    queue.flush();
  }
}

function noStatistics(): SupermachineError {
  return new SupermachineError("UNSUPPORTED", "The guest's balloon driver gives no statistics");
}
