import { type Gpa, gpa } from "../memory/address.ts";

/**
 * A transport's registers as words of one array, so that several threads can serve them: a processor's thread answers
 * the guest's register accesses from here without asking anybody, the device's thread reads what was set up and raises
 * interrupt causes. Over a SharedArrayBuffer in a machine, over an ArrayBuffer in tests.
 *
 * Layout, in 32-bit words: the named words below, then `maxSharedRegions` shared memory regions of four words, then
 * `maxQueues` queues of `queueWords` words, then the configuration space.
 */
export const DEVICE_ID = 0;
export const STATUS = 1;
export const INTERRUPT_STATUS = 2;
export const CONFIG_GENERATION = 3;
export const DEVICE_FEATURES_SEL = 4;
export const DRIVER_FEATURES_SEL = 5;
export const QUEUE_SEL = 6;
export const SHM_SEL = 7;
export const DEVICE_FEATURES_LOW = 8;
export const DEVICE_FEATURES_HIGH = 9;
export const DRIVER_FEATURES_LOW = 10;
export const DRIVER_FEATURES_HIGH = 11;
export const QUEUE_COUNT = 12;
export const CONFIG_LENGTH = 13;
/** How many accesses were refused; for diagnosis, so it may wrap. */
export const REFUSED = 14;

const sharedRegionsStart = 16;
export const maxSharedRegions = 2;
const sharedRegionWords = 4;

const queuesStart: number = sharedRegionsStart + maxSharedRegions * sharedRegionWords;
/** The vsock device has three queues, the balloon up to five. */
export const maxQueues = 8;
const queueWords = 10;
export const QUEUE_NUM_MAX = 0;
export const QUEUE_NUM = 1;
export const QUEUE_READY = 2;
export const QUEUE_DESC_LOW = 3;
export const QUEUE_DESC_HIGH = 4;
export const QUEUE_DRIVER_LOW = 5;
export const QUEUE_DRIVER_HIGH = 6;
export const QUEUE_DEVICE_LOW = 7;
export const QUEUE_DEVICE_HIGH = 8;

const configStart: number = queuesStart + maxQueues * queueWords;
/** Bytes; the largest configuration space of our devices is virtio-blk's, below 100. */
export const maxConfigLength = 256;

/** Bytes that one transport's registers take. */
export const transportRegistersLength: number = configStart * 4 + maxConfigLength;

export interface TransportRegisters {
  readonly words: Int32Array;
  readonly config: Uint8Array;
}

/** The registers that start at `offset` of the buffer. */
export function transportRegisters(buffer: ArrayBufferLike, offset = 0): TransportRegisters {
  return {
    words: new Int32Array(buffer, offset, configStart),
    config: new Uint8Array(buffer, offset + configStart * 4, maxConfigLength),
  };
}

/** Index of a queue's word. */
export function queueWord(queue: number, word: number): number {
  return queuesStart + queue * queueWords + word;
}

/** Index of a shared memory region's word: 0 and 1 length, 2 and 3 base. */
export function sharedRegionWord(region: number, word: number): number {
  return sharedRegionsStart + region * sharedRegionWords + word;
}

/** What a driver wrote about one queue; read once, to be checked before use. */
export interface QueueSetup {
  readonly size: number;
  readonly descriptors: Gpa;
  readonly driver: Gpa;
  readonly device: Gpa;
}

/** The queue's set-up, or undefined where an address needs more than 52 bits. */
export function readQueueSetup({ words }: TransportRegisters, queue: number): QueueSetup | undefined {
  const address = (low: number): Gpa | undefined => {
    const value =
      (Atomics.load(words, queueWord(queue, low)) >>> 0) +
      (Atomics.load(words, queueWord(queue, low + 1)) >>> 0) * 2 ** 32;
    return value < 2 ** 52 ? gpa(value) : undefined;
  };
  const descriptors = address(QUEUE_DESC_LOW);
  const driver = address(QUEUE_DRIVER_LOW);
  const device = address(QUEUE_DEVICE_LOW);
  if (descriptors === undefined || driver === undefined || device === undefined) return undefined;
  return { size: Atomics.load(words, queueWord(queue, QUEUE_NUM)), descriptors, driver, device };
}

const driverWords = [
  INTERRUPT_STATUS,
  DEVICE_FEATURES_SEL,
  DRIVER_FEATURES_SEL,
  QUEUE_SEL,
  SHM_SEL,
  DRIVER_FEATURES_LOW,
  DRIVER_FEATURES_HIGH,
];

/** Everything that a driver has set up is as before it came; what the device says of itself stays. */
export function clearDriverWords({ words }: TransportRegisters): void {
  for (const word of driverWords) Atomics.store(words, word, 0);
  for (let queue = 0; queue < maxQueues; queue++)
    for (let word = QUEUE_NUM; word <= QUEUE_DEVICE_HIGH; word++)
      Atomics.store(words, queueWord(queue, word), 0);
  // Last: a driver that waits for the reset waits for this.
  Atomics.store(words, STATUS, 0);
}
