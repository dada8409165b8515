import { SupermachineError } from "../../errors/supermachine-error.ts";

/** The error for using a machine that has been given back. */
export function leaseEnded(): SupermachineError {
  return new SupermachineError("LEASE_ENDED", "The machine was used after its lease had ended", {
    hint: "Acquire a new lease; keep no machine beyond the lease it belongs to",
  });
}
