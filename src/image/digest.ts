import { SupermachineError } from "../errors/supermachine-error.ts";
import type { Digest } from "./image.ts";

/** The algorithms the OCI image spec registers ("Digests"), with the length of their hex form. */
const hexLengths: Readonly<Record<string, number>> = { sha256: 64, sha512: 128 };

/**
 * Checks that `text` is a digest in canonical form, for example `sha256:` and 64 lower-case hex digits.
 *
 * @throws SupermachineError `INVALID_REFERENCE` when it is not.
 */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  const shown = text.length > 100 ? `${text.slice(0, 100)}...` : text;
  throw new SupermachineError("INVALID_REFERENCE", `'${shown}' is not a digest`, {
    hint: "A digest is 'sha256:' and 64 lower-case hex digits",
  });
}

/** Whether `text` is a digest that `parseDigest` accepts. */
export function isDigest(text: string): text is Digest {
  const colon = text.indexOf(":");
  const algorithm = text.slice(0, Math.max(colon, 0));
  if (!Object.hasOwn(hexLengths, algorithm)) return false;
  const hex = text.slice(colon + 1);
  return hex.length === hexLengths[algorithm] && /^[0-9a-f]+$/.test(hex);
}

/** Splits a digest into its algorithm and its hex digits. */
export function digestParts(digest: Digest): { algorithm: "sha256" | "sha512"; hex: string } {
  const [algorithm, hex] = digest.split(":") as ["sha256" | "sha512", string];
  return { algorithm, hex };
}

/** The first 12 hex digits, as people see them. */
export function shortDigest(digest: Digest): string {
  return digestParts(digest).hex.slice(0, 12);
}
