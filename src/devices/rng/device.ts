// Virtio 1.2, section 5.4: entropy device.
import type { VirtioDevice, VirtioSession } from "../../virtio/device.ts";

export interface RngDeviceOptions {
  /** Fills all of the bytes from the host's random source. */
  readonly fill: (bytes: Uint8Array) => void;
}

const REQUESTS = 0;
/** A request gets no more than this, however much it has room for: the guest cannot make the host busy. */
const maxBytes = 65_536;

/**
 * Randomness from the host.
 *
 * @example
 * ```ts
 * const rng = new RngDevice({ fill: (bytes) => void randomFillSync(bytes) });
 * ```
 */
export class RngDevice implements VirtioDevice {
  readonly name = "rng";
  readonly type = 4;
  readonly features = 0n;
  readonly queueSizes: readonly number[] = [16];
  readonly config: Uint8Array = new Uint8Array(0);
  readonly #fill: (bytes: Uint8Array) => void;
  #session: VirtioSession | undefined;

  constructor({ fill }: RngDeviceOptions) {
    this.#fill = fill;
  }

  activate(session: VirtioSession): void {
    this.#session = session;
  }

  deactivate(): void {
    this.#session = undefined;
  }

  onQueue(): void {
    const queue = this.#session?.queue(REQUESTS);
    if (queue === undefined) return;
    let left = queue.size;
    for (; left > 0; left--) {
      const chain = queue.pop();
      if (chain === undefined) break;
      const bytes = new Uint8Array(Math.min(chain.writableLength, maxBytes));
      this.#fill(bytes);
      queue.complete(chain, chain.write(0, bytes));
    }
    queue.flush();
    if (left === 0) this.#session?.again(REQUESTS);
  }
}
