import type { Gpa } from "../memory/address.ts";
import { gpa } from "../memory/address.ts";
import type { GuestMemory } from "../memory/guest-memory.ts";
import { DESCRIPTOR_LENGTH, MAX_QUEUE_SIZE } from "./constants.ts";
import type { QueueSetup } from "./transport-registers.ts";

/** Lengths of the three parts of a split virtqueue, each a sum over section 2.7's table. */
export function queuePartLengths(size: number): { descriptors: number; driver: number; device: number } {
  return {
    descriptors: DESCRIPTOR_LENGTH * size,
    driver: 6 + 2 * size, // flags, idx, ring[size], used_event
    device: 6 + 8 * size, // flags, idx, ring[size], avail_event
  };
}

/** Why a queue set up like this cannot be used, or undefined when it can (section 2.7: sizes and alignment). */
export function queueSetupProblem(
  setup: QueueSetup,
  memory: GuestMemory,
  maxSize: number,
): string | undefined {
  const { size, descriptors, driver, device } = setup;
  if (!isQueueSize(size, maxSize)) return `its size ${size} is no power of two up to ${maxSize}`;
  if (descriptors % 16 !== 0 || driver % 2 !== 0 || device % 4 !== 0) return "a part is not aligned";
  const lengths = queuePartLengths(size);
  if (!memory.covers(descriptors, lengths.descriptors)) return "its descriptor table lies outside the memory";
  if (!memory.covers(driver, lengths.driver)) return "its driver area lies outside the memory";
  if (!memory.covers(device, lengths.device, { writable: true }))
    return "its device area lies outside the memory";
  return undefined;
}

export function isQueueSize(size: number, maxSize: number): boolean {
  return size > 0 && size <= Math.min(maxSize, MAX_QUEUE_SIZE) && (size & (size - 1)) === 0;
}

/** A guest-physical address a checked distance into a queue part. */
export function inside(start: Gpa, offset: number): Gpa {
  return gpa(start + offset);
}
