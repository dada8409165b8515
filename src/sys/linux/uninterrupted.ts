import { SIG_BLOCK, SIG_SETMASK } from "../../abi/linux.x64.generated.ts";
import { NativeFunction } from "../native-function.ts";
import { consumeErrno, EINTR } from "./system-error.ts";

const nativeSigmask = new NativeFunction<[number, Uint8Array, Uint8Array], number>(
  "int pthread_sigmask(int how, void *set, void *previous)",
);

/** `sigset_t` of the C library. */
const sigsetLength = 128;
const allSignals = new Uint8Array(sigsetLength).fill(0xff);
/** Signals that come faster than the call can be made are kept out; other threads, or this one later, take them. */
const freeTries = 10;
const maxTries = 1000;

/**
 * Makes a system call until no signal interrupts it: a signal is the business of the program around us, not of the
 * call. Returns its result, or a negative errno. Not for `close`, which has closed the descriptor even then, nor for
 * calls that a signal is meant to end.
 */
export function uninterrupted(call: () => number): number {
  let result = consumeErrno(call());
  for (let tries = 1; result === -EINTR && tries < maxTries; tries++)
    result = tries < freeTries ? consumeErrno(call()) : withoutSignals(call);
  return result;
}

function withoutSignals(call: () => number): number {
  const previous = new Uint8Array(sigsetLength);
  nativeSigmask.call(SIG_BLOCK, allSignals, previous);
  try {
    return consumeErrno(call());
  } finally {
    nativeSigmask.call(SIG_SETMASK, previous, new Uint8Array(sigsetLength));
  }
}
