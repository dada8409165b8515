import { SupermachineError } from "../../errors/supermachine-error.ts";

/** The error of a conversion that its caller has given up. */
export function rootfsAborted(signal: AbortSignal): SupermachineError {
  return new SupermachineError("ABORTED", "Preparing the root file system was aborted", {
    cause: signal.reason,
  });
}
