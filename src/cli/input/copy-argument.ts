import { SupermachineError } from "../../errors/supermachine-error.ts";

/** One side of `cp`: a path on this host, a path in a machine, or a tar stream on standard input or output. */
export type CopyArgument =
  | { readonly kind: "host"; readonly path: string }
  | { readonly kind: "guest"; readonly machine: string; readonly path: string }
  | { readonly kind: "stream" };

/**
 * Reads `PATH`, `MACHINE:PATH` or `-`. As in docker, what starts with `/` or `.` is always a path of this host, and a
 * path in a machine starts at its root directory.
 */
export function parseCopyArgument(text: string): CopyArgument {
  if (text === "-") return { kind: "stream" };
  const colon = text.indexOf(":");
  const isHost =
    text.startsWith("/") || text.startsWith(".") || colon < 0 || text.slice(0, colon).includes("/");
  if (isHost) {
    if (text === "") throw new SupermachineError("INVALID_ARGUMENT", "A path to copy is empty");
    return { kind: "host", path: text };
  }
  const machine = text.slice(0, colon);
  const path = text.slice(colon + 1);
  if (machine === "" || path === "")
    throw new SupermachineError(
      "INVALID_ARGUMENT",
      `'${text}' names no ${machine === "" ? "machine" : "path"}`,
      {
        hint: "Write MACHINE:PATH, or ./NAME for a file here whose name has a colon",
      },
    );
  return { kind: "guest", machine, path: path.startsWith("/") ? path : `/${path}` };
}
