import { SupermachineError } from "../errors/supermachine-error.ts";
import { type ImageReference, parseReference } from "./reference.ts";

/** Where an image comes from. */
export type ImageSource =
  | { readonly kind: "registry"; readonly reference: ImageReference }
  /** A folder in OCI image layout; `name` picks among several images. */
  | { readonly kind: "oci"; readonly path: string; readonly name?: string }
  /** The same, in a tar file. */
  | { readonly kind: "oci-archive"; readonly path: string; readonly name?: string }
  /** What `docker save` writes. */
  | { readonly kind: "docker-archive"; readonly path: string; readonly name?: string }
  /** Either kind of archive, on standard input. */
  | { readonly kind: "stdin" };

/**
 * Reads what a user gave as IMAGE: a reference, optionally after `docker://`, or one of `oci:DIR[:TAG]`,
 * `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:REFERENCE]`, `-`.
 *
 * @throws SupermachineError `INVALID_REFERENCE`
 */
export function parseImageSource(text: string): ImageSource {
  if (text === "-") return { kind: "stdin" };
  if (text.startsWith("docker://"))
    return { kind: "registry", reference: parseReference(text.slice("docker://".length)) };
  const match = /^(oci|oci-archive|docker-archive):(.*)$/s.exec(text);
  if (match === null) return { kind: "registry", reference: parseReference(text) };
  const [, kind, rest = ""] = match as unknown as [string, "oci" | "oci-archive" | "docker-archive", string];
  return { kind, ...splitName(text, rest) };
}

/** The first colon ends the path, as in other tools that know these transports. */
function splitName(text: string, rest: string): { path: string; name?: string } {
  const colon = rest.indexOf(":");
  const path = colon < 0 ? rest : rest.slice(0, colon);
  const name = colon < 0 ? "" : rest.slice(colon + 1);
  if (path === "" || path.includes("\0"))
    throw new SupermachineError("INVALID_REFERENCE", `Cannot read image source '${text.slice(0, 100)}'`, {
      hint: "After the colon comes the path of a file or folder, for example 'docker-archive:image.tar'",
    });
  return name === "" ? { path } : { path, name };
}
