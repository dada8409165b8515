import type { Fd } from "../../abi/fd.ts";
import { NativeFunction } from "../native-function.ts";
import { consumeErrno } from "./system-error.ts";
import { uninterrupted } from "./uninterrupted.ts";

const withInteger = new NativeFunction<[number, number, number | bigint], number>(
  "int ioctl(int fd, unsigned long request, uintptr_t argument)",
);
const withBuffer = new NativeFunction<[number, number, Uint8Array], number>(
  "int ioctl(int fd, unsigned long request, void *argument)",
);

/**
 * ioctl with an integer argument (0 where there is none). Returns a negative errno on failure; made again when a signal
 * interrupts it.
 *
 * Safety: the request must be one that takes an integer, or nothing.
 */
export function ioctl(fd: Fd, request: number, argument: number | bigint = 0): number {
  return uninterrupted(() => withInteger.call(fd, request, argument));
}

/** As `ioctl`, for a request that a signal is meant to end: then -EINTR. */
export function interruptibleIoctl(fd: Fd, request: number, argument: number | bigint = 0): number {
  return consumeErrno(withInteger.call(fd, request, argument));
}

/**
 * ioctl with a pointer to `bytes`, which the kernel reads and may write. Returns a negative errno on failure; made
 * again when a signal interrupts it.
 *
 * Safety: the request must take a pointer, and `bytes` must be at least as long as what the kernel reads and writes
 * there, flexible arrays included.
 */
export function ioctlBytes(fd: Fd, request: number, bytes: Uint8Array): number {
  return uninterrupted(() => withBuffer.call(fd, request, bytes));
}
