import { mismatchedSnapshot } from "../snapshot/snapshot-error.ts";
import type { VirtioDevice } from "./device.ts";
import * as r from "./transport-registers.ts";
import type { QueueState, TransportState, WordPair } from "./transport-state.ts";
import type { VirtQueue } from "./virt-queue.ts";

/** Reads the registers as they are. Where a queue is live, it says what it works with: the driver may have scribbled. */
export function saveTransport(
  registers: r.TransportRegisters,
  queues: readonly (VirtQueue | undefined)[],
): TransportState {
  const load = (word: number): number => Atomics.load(registers.words, word) >>> 0;
  return {
    deviceType: load(r.DEVICE_ID),
    status: load(r.STATUS),
    interruptStatus: load(r.INTERRUPT_STATUS),
    configGeneration: load(r.CONFIG_GENERATION),
    selected: {
      deviceFeatures: load(r.DEVICE_FEATURES_SEL),
      driverFeatures: load(r.DRIVER_FEATURES_SEL),
      queue: load(r.QUEUE_SEL),
      sharedRegion: load(r.SHM_SEL),
    },
    driverFeatures: [load(r.DRIVER_FEATURES_LOW), load(r.DRIVER_FEATURES_HIGH)],
    queues: Array.from({ length: load(r.QUEUE_COUNT) }, (_, queue) =>
      saveQueue((word) => load(r.queueWord(queue, word)), queues[queue]),
    ),
  };
}

function saveQueue(load: (word: number) => number, live: VirtQueue | undefined): QueueState {
  if (live !== undefined) {
    const { size, descriptors, driver, device } = live.setup;
    const addresses = { descriptors: pair(descriptors), driver: pair(driver), device: pair(device) };
    return { size, ready: true, ...addresses, ...live.position };
  }
  return {
    size: load(r.QUEUE_NUM),
    ready: load(r.QUEUE_READY) !== 0,
    descriptors: [load(r.QUEUE_DESC_LOW), load(r.QUEUE_DESC_HIGH)],
    driver: [load(r.QUEUE_DRIVER_LOW), load(r.QUEUE_DRIVER_HIGH)],
    device: [load(r.QUEUE_DEVICE_LOW), load(r.QUEUE_DEVICE_HIGH)],
    nextAvailable: 0,
    nextUsed: 0,
  };
}

/** Why a saved transport cannot be this device's, or nothing. */
export function checkTransportFits(state: TransportState, device: VirtioDevice, offered: bigint): void {
  const { name, type, queueSizes } = device;
  if (state.deviceType !== type)
    throw mismatchedSnapshot(`a slot has a virtio device of type ${state.deviceType}, not ${name}`);
  if (state.queues.length > queueSizes.length)
    throw mismatchedSnapshot(
      `its ${name} device has ${state.queues.length} queues, not ${queueSizes.length}`,
    );
  for (const [index, { size }] of state.queues.entries())
    if (size > (queueSizes[index] ?? 0))
      throw mismatchedSnapshot(`queue ${index} of its ${name} device has ${size} entries`);
  const [low, high] = state.driverFeatures;
  if (((BigInt(high) << 32n) | BigInt(low)) & ~offered)
    throw mismatchedSnapshot(`the guest uses features of its ${name} device that this one does not have`);
}

/** Puts all but the interrupt status into the registers. The configuration may have changed, so its generation has. */
export function loadTransport(registers: r.TransportRegisters, state: TransportState): void {
  const store = (word: number, value: number): void => void Atomics.store(registers.words, word, value | 0);
  store(r.STATUS, state.status);
  store(r.CONFIG_GENERATION, state.configGeneration + 1);
  store(r.DEVICE_FEATURES_SEL, state.selected.deviceFeatures);
  store(r.DRIVER_FEATURES_SEL, state.selected.driverFeatures);
  store(r.QUEUE_SEL, state.selected.queue);
  store(r.SHM_SEL, state.selected.sharedRegion);
  store(r.DRIVER_FEATURES_LOW, state.driverFeatures[0]);
  store(r.DRIVER_FEATURES_HIGH, state.driverFeatures[1]);
  for (const [queue, { size, ready, descriptors, driver, device }] of state.queues.entries()) {
    const words = [size, ready ? 1 : 0, ...descriptors, ...driver, ...device];
    // In the order of the words from QUEUE_NUM on.
    for (const [offset, value] of words.entries()) store(r.queueWord(queue, r.QUEUE_NUM + offset), value);
  }
}

function pair(address: number): WordPair {
  return [address % 2 ** 32, Math.floor(address / 2 ** 32)];
}
