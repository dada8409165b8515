/** What a socket device has to remember besides its queues. Connections do not survive a restore. */
export interface VsockState {
  /** Port that the next connection from the host comes from: one that the restored guest has not seen yet. */
  readonly nextLocalPort: number;
}

/** Ports below may be listened on; above, connections to the guest come from there. */
export const FIRST_LOCAL_PORT = 0x4000_0000;
export const LAST_LOCAL_PORT = 0xffff_fffe;

/** Reads a saved state; RangeError when it is none. */
export function parseVsockState(value: unknown): VsockState {
  const nextLocalPort =
    typeof value === "object" && value !== null && "nextLocalPort" in value ? value.nextLocalPort : undefined;
  if (
    typeof nextLocalPort !== "number" ||
    !Number.isInteger(nextLocalPort) ||
    nextLocalPort < FIRST_LOCAL_PORT ||
    nextLocalPort > LAST_LOCAL_PORT
  )
    throw new RangeError(`A saved socket device has no port ${String(nextLocalPort)} to go on with`);
  return { nextLocalPort };
}
