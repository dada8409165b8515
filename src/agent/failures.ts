import type { ErrorCode } from "../errors/codes.ts";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { errnoName } from "./errno.ts";
import { Failure, Outcome } from "./protocol.ts";
import { ValueReader } from "./values.ts";

/** What was asked, for error messages: "read '/etc/x'" */
export interface Attempt {
  readonly description: string;
  /** The code of a plain system error of this operation. */
  readonly code: ErrorCode;
}

/** Splits a DONE payload: the reader of a successful result, or the error to reject with. */
export function readOutcome(payload: Uint8Array, attempt: Attempt): ValueReader | SupermachineError {
  const reader = new ValueReader(payload);
  const outcome = reader.u8();
  if (outcome === Outcome.OK) return reader;
  if (outcome !== Outcome.FAILED)
    return new SupermachineError("AGENT_PROTOCOL", "The guest agent sent an unknown outcome");
  const kind = reader.u8();
  const errno = reader.u32();
  const detail = reader.string();
  reader.end();
  return failureError(attempt, { kind, errno, detail });
}

interface GuestFailure {
  readonly kind: number;
  readonly errno: number;
  readonly detail: string;
}

function failureError(attempt: Attempt, failure: GuestFailure): SupermachineError {
  const { kind, detail } = failure;
  const name = errnoName(failure.errno);
  const because = name === undefined ? "" : `: ${name}`;
  const data = { ...(name === undefined ? {} : { errno: name }), ...(detail === "" ? {} : { detail }) };
  switch (kind) {
    case Failure.COMMAND_NOT_FOUND:
      return new SupermachineError("COMMAND_NOT_FOUND", `Command '${detail}' was not found in the guest`, {
        hint: "Check the spelling, and that the image has it in one of the directories of PATH",
        data,
      });
    case Failure.COMMAND_NOT_EXECUTABLE:
      return new SupermachineError(
        "COMMAND_NOT_EXECUTABLE",
        `Command '${detail}' cannot be executed in the guest${because}`,
        { hint: executableHint(name), data },
      );
    case Failure.USER_NOT_FOUND:
      return new SupermachineError(
        "USER_NOT_FOUND",
        `User or group '${detail}' does not exist in the guest`,
        {
          hint: "Use a name from the image's /etc/passwd and /etc/group, or numbers",
          data,
        },
      );
    case Failure.WORKING_DIRECTORY:
      return new SupermachineError("WORKING_DIRECTORY", `Cannot enter '${detail}' in the guest${because}`, {
        data,
      });
    case Failure.ARCHIVE:
      return new SupermachineError("ARCHIVE_INVALID", `Cannot ${attempt.description}: ${detail}`, { data });
    case Failure.SETUP:
      return new SupermachineError("BOOT_FAILED", `Cannot ${attempt.description}: ${detail}${because}`, {
        data,
      });
    case Failure.REFUSED:
      return new SupermachineError("UNSUPPORTED", `Cannot ${attempt.description}: ${detail}`, { data });
    case Failure.CANCELLED:
      return new SupermachineError("ABORTED", `Gave up: ${attempt.description}`, { data });
    case Failure.SYSTEM: {
      const where = detail === "" ? "" : ` (${detail})`;
      return new SupermachineError(attempt.code, `Cannot ${attempt.description}${where}${because}`, { data });
    }
    default:
      return new SupermachineError("AGENT_PROTOCOL", "The guest agent sent an unknown kind of failure");
  }
}

function executableHint(errno: string | undefined): string {
  if (errno === "ENOEXEC") return "It is no program for this machine, or a script without a '#!' line";
  if (errno === "ENOENT") return "The interpreter or loader that it names is missing in the image";
  return "It must be a file with execute permission for the user";
}
