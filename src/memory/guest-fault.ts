import { SupermachineError } from "../errors/supermachine-error.ts";

/**
 * The guest named memory that it does not have. A device that catches this asks to be reset; it is never a failure
 * of the host.
 */
export class GuestFault extends SupermachineError {
  constructor(what: string, data: { readonly address: number; readonly length: number }) {
    super("GUEST_FAULT", `${what}: ${data.length} bytes at 0x${data.address.toString(16)}`, { data });
    this.name = "GuestFault";
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return (
      SupermachineError[Symbol.hasInstance](value) && (value as SupermachineError).code === "GUEST_FAULT"
    );
  }
}
