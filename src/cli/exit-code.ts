import type { ErrorCode } from "../errors/codes.ts";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { signalNumber } from "../machine/guest-signals.ts";

/** Exit codes of our own, as docker has them. A guest command's own code passes through unchanged. */
export const exitCodes = {
  /** An operation on images or machines failed. */
  failed: 1,
  /** The command line is wrong, or `run` and `exec` failed before the guest command ran. */
  ownFailure: 125,
  notExecutable: 126,
  notFound: 127,
  /** 128 + SIGKILL. */
  killed: 137,
  /** 128 + SIGPIPE: nobody reads our output any more. */
  brokenPipe: 141,
} as const;

/** How a guest command ended, as a shell would report it. The signal is a name that Linux knows. */
export function exitCodeOf(exit: {
  readonly exitCode?: number | undefined;
  readonly signal?: string | undefined;
}): number {
  if (exit.exitCode !== undefined) return exit.exitCode;
  return exit.signal === undefined ? exitCodes.ownFailure : 128 + signalNumber(exit.signal);
}

/** The exit code for an error; `runsGuestCommand` is true for `run` and `exec`. */
export function exitCodeForError(error: unknown, options: { runsGuestCommand: boolean }): number {
  const code: ErrorCode = error instanceof SupermachineError ? error.code : "INTERNAL";
  if (options.runsGuestCommand) return guestCommandCodes[code] ?? exitCodes.ownFailure;
  return exitCodes.failed;
}

const guestCommandCodes: Partial<Record<ErrorCode, number>> = {
  COMMAND_NOT_FOUND: exitCodes.notFound,
  COMMAND_NOT_EXECUTABLE: exitCodes.notExecutable,
};
