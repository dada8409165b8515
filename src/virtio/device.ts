import type { GuestMemory } from "../memory/guest-memory.ts";
import type { VirtQueue } from "./virt-queue.ts";

/** A virtio device: what its requests mean. The protocol of bringing it up is `MmioTransport`'s and `DeviceHost`'s. */
export interface VirtioDevice {
  readonly name: string;
  /** Virtio device type, section 5. */
  readonly type: number;
  /** Feature bits of this type; those of the transport and the queues are added for every device. */
  readonly features: bigint;
  /** Largest size of each queue: powers of two. */
  readonly queueSizes: readonly number[];
  /** The configuration space as it is now; at most 256 bytes, always of the same length. */
  readonly config: Uint8Array;
  readonly sharedRegions?: readonly { readonly start: number; readonly length: number }[];
  /** A driver has set the device up: from now on its queues may be used. */
  activate(session: VirtioSession): void;
  /** The driver is gone, or starts over. Nothing of the session may be used afterwards. */
  deactivate(): void;
  /** The driver has put something into this queue: drain it. */
  onQueue(index: number): void;
  /**
   * Resolves when no request is under way. Absent where requests are always answered at once. With the processors
   * paused, the device can be saved afterwards.
   */
  settled?(): Promise<void>;
  /** The driver wrote to the configuration space; absent where nothing there can be written. */
  writeConfig?(offset: number, data: Uint8Array): void;
}

/** What a device may use between activation and reset. */
export interface VirtioSession {
  readonly memory: GuestMemory;
  /** Undefined where the driver did not set the queue up, or has stopped it. */
  queue(index: number): VirtQueue | undefined;
  /** Negotiated feature bits. */
  readonly features: bigint;
  /** Publishes the device's configuration space anew, and interrupts the driver. */
  configChanged(): void;
  /**
   * Calls `onQueue` once more, after others had their turn: for a device that stops in the middle of a queue which the
   * driver may be refilling without end.
   */
  again(queue: number): void;
  /** The driver has broken the device's rules: nothing more is taken from it until it resets the device. */
  needsReset(reason: string): void;
}

/** Raises a device's interrupt. */
export interface InterruptLine {
  pulse(): void;
}
