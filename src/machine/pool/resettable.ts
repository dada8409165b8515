/** What can return to the state it was in when it was new, in place. */
export interface Resettable {
  /** Rejects with `UNSUPPORTED` where the engine cannot do it. */
  reset(): Promise<void>;
}

export function isResettable(machine: object): machine is Resettable {
  return "reset" in machine && typeof machine.reset === "function";
}
