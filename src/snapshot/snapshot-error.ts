import { SupermachineError } from "../errors/supermachine-error.ts";

/** `why` continues the sentence "The snapshot cannot be used: ...". */
export function invalidSnapshot(why: string, cause?: unknown): SupermachineError {
  return new SupermachineError("SNAPSHOT_INVALID", `The snapshot cannot be used: ${why}`, {
    hint: "It was damaged or altered; remove it and make it again",
    cause,
  });
}

/** `reason` says what differs, as `checkFits` does. */
export function mismatchedSnapshot(reason: string): SupermachineError {
  return new SupermachineError("SNAPSHOT_MISMATCH", `The snapshot does not fit: ${reason}`, {
    hint: "Make it again on this host with this version",
    data: { reason },
  });
}
