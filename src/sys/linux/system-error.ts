import { constants } from "node:os";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import { lastErrno } from "../native-function.ts";

export const EINTR: number = constants.errno.EINTR;
export const EAGAIN: number = constants.errno.EAGAIN;

/** Turns C's "-1 and errno" into the kernel's own convention: a negative errno. Must directly follow the call. */
export function consumeErrno(result: number): number {
  return result === -1 ? -lastErrno() : result;
}

/** Passes a result through, or throws `NATIVE_CALL_FAILED` naming the call and the error. */
export function checked(result: number, call: string): number {
  if (result < 0) throw systemError(call, -result);
  return result;
}

/** `open /dev/kvm failed: EACCES`, with `data.errno` and `data.call`. */
export function systemError(call: string, errno: number): SupermachineError {
  const name = errnoName(errno);
  return new SupermachineError("NATIVE_CALL_FAILED", `${call} failed: ${name}`, {
    data: { call, errno: name },
  });
}

/** "EACCES" for 13; the number as text when it has no name. */
export function errnoName(errno: number): string {
  return Object.entries(constants.errno).find(([, value]) => value === errno)?.[0] ?? `errno ${errno}`;
}
