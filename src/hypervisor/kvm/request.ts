import type { Fd } from "../../abi/fd.ts";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import { ioctl, ioctlBytes } from "../../sys/linux/ioctl.ts";
import { errnoName } from "../../sys/linux/system-error.ts";
import { requestName } from "./request-name.ts";

/**
 * A KVM ioctl that is expected to succeed. `argument` is an integer or the request's structure. Returns its result;
 * throws `HYPERVISOR` with the request's name and the error: `ioctl KVM_CREATE_VM failed: ENOMEM`.
 */
export function requestKvm(fd: Fd, request: number, argument: number | bigint | Uint8Array = 0): number {
  const result =
    argument instanceof Uint8Array ? ioctlBytes(fd, request, argument) : ioctl(fd, request, argument);
  if (result < 0) throw kvmError(request, -result);
  return result;
}

export function kvmError(request: number, errno: number): SupermachineError {
  const call = `ioctl ${requestName(request)}`;
  const name = errnoName(errno);
  return new SupermachineError("HYPERVISOR", `${call} failed: ${name}`, { data: { call, errno: name } });
}
