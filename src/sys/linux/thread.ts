import { PR_SET_NAME, SIG_BLOCK } from "../../abi/linux.x64.generated.ts";
import { NativeFunction } from "../native-function.ts";
import { checked, consumeErrno, systemError } from "./system-error.ts";

const nativeGettid = new NativeFunction<[], number>("int gettid()");
const nativeTgkill = new NativeFunction<[number, number, number], number>(
  "int tgkill(int process, int thread, int signal)",
);
const nativeSigmask = new NativeFunction<[number, Uint8Array, Uint8Array], number>(
  "int pthread_sigmask(int how, void *set, void *previous)",
);
const nativeSigtimedwait = new NativeFunction<[Uint8Array, bigint, Uint8Array], number>(
  "int sigtimedwait(void *set, uintptr_t information, void *timeout)",
);
const nativePrctl = new NativeFunction<[number, string], number>("int prctl(int option, const char *name)");

/** `sigset_t` of the C library; the kernel uses its first 8 bytes. */
const sigsetLength = 128;
/** `struct timespec` of zero: do not wait. */
const noTime = new Uint8Array(16);

/** The calling thread's kernel id. */
export function threadId(): number {
  return nativeGettid.call();
}

/** Names the calling thread for `ps` and debuggers; at most 15 bytes. */
export function nameThread(name: string): void {
  checked(consumeErrno(nativePrctl.call(PR_SET_NAME, name.slice(0, 15))), "prctl PR_SET_NAME");
}

/**
 * Sends a signal to one thread of this process; whether the thread exists.
 *
 * Safety: thread ids are reused. The signal must be one whose default is to be ignored, or the caller must know that
 * the thread is alive.
 */
export function signalThread(thread: number, signal: number): boolean {
  return consumeErrno(nativeTgkill.call(process.pid, thread, signal)) === 0;
}

/**
 * Blocks a signal on the calling thread, for good. Returns the 64 bits of the mask that the thread had before.
 * The signal then waits until `takeSignal` or a call that unblocks it.
 */
export function blockSignal(signal: number): Uint8Array {
  const previous = new Uint8Array(sigsetLength);
  const error = nativeSigmask.call(SIG_BLOCK, signalSet(signal), previous);
  if (error !== 0) throw systemError("pthread_sigmask", error);
  return previous.slice(0, 8);
}

/** Consumes a blocked signal that is pending for the calling thread; whether there was one. Does not wait. */
export function takeSignal(signal: number): boolean {
  return nativeSigtimedwait.call(signalSet(signal), 0n, noTime) === signal;
}

/** Signal n is bit n - 1. */
export function signalSet(signal: number): Uint8Array {
  const set = new Uint8Array(sigsetLength);
  set[(signal - 1) >> 3] = 1 << ((signal - 1) & 7);
  return set;
}
