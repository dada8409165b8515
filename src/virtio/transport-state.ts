import * as v from "valibot";
import { jsonCodec } from "../snapshot/json-codec.ts";
import type { StateCodec } from "../snapshot/state-codec.ts";
import { DRIVER_OK, MAX_QUEUE_SIZE } from "./constants.ts";
import { maxQueues } from "./transport-registers.ts";

/** A 64-bit value as its low and high 32 bits: a driver may have written anything. */
export type WordPair = readonly [low: number, high: number];

/** Where one queue is, and where it stands. */
export interface QueueState {
  readonly size: number;
  readonly ready: boolean;
  readonly descriptors: WordPair;
  readonly driver: WordPair;
  readonly device: WordPair;
  /** Both indices are the same in a saved device: no request is under way. */
  readonly nextAvailable: number;
  readonly nextUsed: number;
}

/** Everything between a driver and its device that is not in the guest's memory. */
export interface TransportState {
  /** Virtio device type. */
  readonly deviceType: number;
  readonly status: number;
  /** Causes that the driver has not acknowledged. */
  readonly interruptStatus: number;
  readonly configGeneration: number;
  readonly selected: {
    readonly deviceFeatures: number;
    readonly driverFeatures: number;
    readonly queue: number;
    readonly sharedRegion: number;
  };
  readonly driverFeatures: WordPair;
  readonly queues: readonly QueueState[];
}

const natural = (maximum: number): v.GenericSchema<unknown, number> =>
  v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(maximum));
const word = natural(0xffff_ffff);
const wordPair = v.strictTuple([word, word]);
const index = natural(0xffff);

const queueSchema = v.pipe(
  v.strictObject({
    size: natural(MAX_QUEUE_SIZE),
    ready: v.boolean(),
    descriptors: wordPair,
    driver: wordPair,
    device: wordPair,
    nextAvailable: index,
    nextUsed: index,
  }),
  v.check(({ nextAvailable, nextUsed }) => nextAvailable === nextUsed),
);

const schema = v.pipe(
  v.strictObject({
    deviceType: v.pipe(word, v.minValue(1)),
    status: natural(0xff),
    interruptStatus: natural(3),
    configGeneration: word,
    selected: v.strictObject({ deviceFeatures: word, driverFeatures: word, queue: word, sharedRegion: word }),
    driverFeatures: wordPair,
    queues: v.pipe(v.array(queueSchema), v.maxLength(maxQueues)),
  }),
  // A queue has gone somewhere only where a driver was at work.
  v.check(
    ({ status, queues }) =>
      (status & DRIVER_OK) !== 0 || queues.every(({ nextAvailable }) => nextAvailable === 0),
  ),
);

/** Of one transport; the device's own state, where it has any, is another component. */
export const transportStateCodec: StateCodec<TransportState> = jsonCodec<TransportState>({
  id: "virtio-transport",
  version: 1,
  schema,
});
