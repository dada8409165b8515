// Virtio 1.2, section 5.10.6.7: device events.
import type { VirtQueue } from "../../virtio/virt-queue.ts";
import { VIRTIO_VSOCK_EVENT_TRANSPORT_RESET } from "./packet.ts";

/** Tells the guest that its connections are gone, and learns when it has dealt with that. */
export class TransportReset {
  /** "due": the guest is to be told. "told": it has been, and has not dealt with it yet. */
  #state: "none" | "due" | "told" = "none";
  /** Buffers for events that were there when the guest was told. */
  #otherBuffers = 0;

  /** The guest does not know yet, or has not dealt with it: it would take a new connection for one that is gone. */
  get isPending(): boolean {
    return this.#state !== "none";
  }

  /** Tells the guest as soon as it offers a buffer in its queue for events. */
  announce(events: VirtQueue): void {
    this.#state = "due";
    this.#tell(events);
  }

  /** Also called when there is no new buffer, as after a restore: only one more than there were counts. */
  onBuffer(events: VirtQueue): void {
    if (this.#state === "due") this.#tell(events);
    else if (countWaiting(events) > this.#otherBuffers) this.#state = "none";
  }

  /** The guest's driver starts over. */
  forget(): void {
    this.#state = "none";
  }

  /**
   * To learn when the guest has dealt with it, the device asks to be notified of the buffer that the driver offers next,
   * which means looking past those already there.
   */
  #tell(events: VirtQueue): void {
    const chain = events.pop();
    if (chain === undefined) return;
    const event = new Uint8Array(4);
    new DataView(event.buffer).setUint32(0, VIRTIO_VSOCK_EVENT_TRANSPORT_RESET, true);
    events.complete(chain, chain.write(0, event));
    this.#otherBuffers = countWaiting(events);
    this.#state = "told";
    events.flush();
  }
}

/** How many buffers the driver has there; they stay. Makes the driver notify of the next one. */
function countWaiting(queue: VirtQueue): number {
  let count = 0;
  while (count < queue.size && queue.pop() !== undefined) count++;
  for (let left = count; left > 0; left--) queue.unpop();
  return count;
}
