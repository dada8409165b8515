import { SupermachineError } from "./supermachine-error.ts";

/**
 * Turns a failed file operation into an error of ours: a full disk and refused access are the user's to mend, anything
 * else passes unchanged.
 */
export function systemFailure(error: unknown, attempted: string, path: string): unknown {
  switch (errnoOf(error)) {
    case "ENOSPC":
    case "EDQUOT":
      return new SupermachineError("NO_SPACE", `${attempted} '${path}' failed: no space is left`, {
        hint: "Free space on that disk, or set SUPERMACHINE_HOME to a folder on a larger one",
        cause: error,
        data: { path },
      });
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return new SupermachineError("PERMISSION_DENIED", `${attempted} '${path}' was refused by the system`, {
        hint: "Check who owns that folder, or set SUPERMACHINE_HOME to one you may write to",
        cause: error,
        data: { path },
      });
    default:
      return error;
  }
}

/** "ENOENT" and the like, of errors that come from the system. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("syscall" in error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}
