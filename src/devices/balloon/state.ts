/** What a balloon has to remember besides its queues, so that host and guest agree after a restore. */
export interface BalloonState {
  /** Pages of 4 KiB that the host has asked for. */
  readonly targetPages: number;
  /** Pages that the guest says are in the balloon. */
  readonly actualPages: number;
}

/** Reads a saved state; RangeError when it is none. */
export function parseBalloonState(value: unknown): BalloonState {
  if (typeof value !== "object" || value === null) throw new RangeError("A saved balloon is an object");
  const { targetPages, actualPages } = value as Record<string, unknown>;
  return { targetPages: pageCount(targetPages), actualPages: pageCount(actualPages) };
}

function pageCount(value: unknown): number {
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff)
    return value;
  throw new RangeError(`A saved balloon cannot hold ${String(value)} pages`);
}
