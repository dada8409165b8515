import type { ErrorCode } from "../errors/codes.ts";
import { SupermachineError } from "../errors/supermachine-error.ts";

/** Where a document came from, so that an error about it blames and names the right thing. */
export interface Origin {
  /** What a malformed document means there. */
  readonly invalid: Extract<ErrorCode, "REGISTRY_PROTOCOL" | "ARCHIVE_INVALID">;
  /** As the user would name it: `docker.io/library/alpine:latest`, `image.tar`. */
  readonly name: string;
}

/** The error for a document of `origin` that breaks its format. `detail` is a clause: "has no layers". */
export function invalidDocument(origin: Origin, detail: string, cause?: unknown): SupermachineError {
  return new SupermachineError(origin.invalid, `Cannot use image '${origin.name}': ${detail}`, {
    hint:
      origin.invalid === "ARCHIVE_INVALID"
        ? "The archive is damaged or incomplete; make it again"
        : "The registry's answer is not a valid image; try again, or push the image anew",
    cause,
  });
}
