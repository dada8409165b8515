import { SupermachineError } from "../errors/supermachine-error.ts";

/**
 * Turns a failure of the host's file system into the error that users see. `attempt` is what was tried, as in
 * "Cannot store a layer". Errors that are ours already pass through, and so does what no user can act on.
 */
export function storageError(error: unknown, attempt: string): unknown {
  if (error instanceof SupermachineError || !isSystemError(error)) return error;
  const where = error.path === undefined ? "" : ` in '${error.path}'`;
  if (error.code === "ENOSPC" || error.code === "EDQUOT")
    return new SupermachineError("NO_SPACE", `${attempt}: no space left${where}`, {
      hint: "Free some space (`supermachine prune`), or set SUPERMACHINE_HOME to a folder on a larger disk",
      cause: error,
    });
  if (error.code === "EACCES" || error.code === "EPERM" || error.code === "EROFS")
    return new SupermachineError("PERMISSION_DENIED", `${attempt}: permission denied${where}`, {
      hint: "Check the folder's owner and mode, or set SUPERMACHINE_HOME to a folder of your own",
      cause: error,
    });
  return error;
}

/** Whether `error` is a system error with this code, such as "ENOENT". */
export function hasErrorCode(error: unknown, code: string): boolean {
  return isSystemError(error) && error.code === code;
}

interface SystemError extends Error {
  readonly code: string;
  readonly path?: string;
}

function isSystemError(error: unknown): error is SystemError {
  return error instanceof Error && "code" in error && typeof error.code === "string";
}
