import { SupermachineError } from "../../../errors/supermachine-error.ts";
import { canonicalName, parseReference } from "../../reference.ts";

/** `text` as a canonical reference, when it is one. */
export function asReference(text: string): string | undefined {
  try {
    return canonicalName(parseReference(text));
  } catch {
    return undefined;
  }
}

/** A name for an image that has at most a tag: `localhost/<file's name>:<tag>`. */
export function localReference(path: string, tag: string | undefined): string {
  const base =
    path
      .split("/")
      .filter((part) => part !== "" && part !== "." && part !== "..")
      .at(-1) ?? "";
  const name = base
    .toLowerCase()
    .replace(/\.(tar|tgz|tar\.gz|tar\.zst|oci)$/, "")
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "")
    .slice(0, 128);
  const repository = `localhost/${name === "" ? "image" : name}`;
  return asReference(`${repository}:${tag ?? "latest"}`) ?? `${repository}:latest`;
}

/** The error for a name that an archive does not have. */
export function noSuchImage(archive: string, wanted: string, names: readonly string[]): SupermachineError {
  return new SupermachineError("IMAGE_NOT_FOUND", `No image '${wanted}' in '${archive}'`, {
    hint: names.length === 0 ? "It names no images; leave the name out" : `It holds: ${listed(names)}`,
  });
}

/** The error when an archive has several images and none was named. */
export function severalImages(archive: string, names: readonly string[]): SupermachineError {
  return new SupermachineError("INVALID_REFERENCE", `'${archive}' holds several images`, {
    hint: `Name one after a colon: ${listed(names)}`,
  });
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, 10).join(", ");
  return names.length > 10 ? `${shown}, ...` : shown;
}
