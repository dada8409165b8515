// Image references as Docker users write them. The grammar is that of the "distribution reference" package, which
// every client follows: [domain "/"] path-component *("/" path-component) [":" tag] ["@" digest].
import { SupermachineError } from "../errors/supermachine-error.ts";
import { parseDigest } from "./digest.ts";
import type { Digest } from "./image.ts";

/** A parsed image reference; every field is in canonical form. */
export interface ImageReference {
  /** Registry host, with port where one is given: `docker.io`, `localhost:5000`. */
  readonly domain: string;
  /** Repository inside the registry: `library/alpine`. */
  readonly path: string;
  /** `latest` when neither a tag nor a digest is written. */
  readonly tag?: string;
  readonly digest?: Digest;
}

/**
 * Reads an image reference by Docker's rules: a missing domain is `docker.io`, a single name there lives in
 * `library/`, a missing tag is `latest`.
 *
 * @throws SupermachineError `INVALID_REFERENCE`, with a hint that names the part that is wrong.
 */
export function parseReference(text: string): ImageReference {
  if (text === "") throw invalid(text, "Write an image name, for example 'alpine:3.20'");
  if (text.length > maximumLength) throw invalid(text, "It is too long");
  if (/^[./~]/.test(text))
    throw invalid(text, `For an image in a file, write 'docker-archive:${text}' or 'oci-archive:${text}'`);
  if (/^[0-9a-f]{64}$/.test(text)) throw invalid(text, `For an image id, write 'sha256:${text}'`);
  const { name, digest } = splitDigest(text);
  const { repository, tag } = splitTag(name);
  const { domain, path } = splitDomain(repository);
  if (!domainPattern.test(domain)) throw invalid(text, `'${domain}' is not a registry host`);
  if (!pathPattern.test(path)) throw invalid(text, pathHint(path));
  if (domain.length + path.length + 1 > maximumNameLength)
    throw invalid(text, `Registry and name may have ${maximumNameLength} characters together`);
  if (tag !== undefined && !tagPattern.test(tag))
    throw invalid(
      text,
      `A tag has up to 128 letters, digits, '_', '.' and '-'; ${JSON.stringify(tag)} does not fit`,
    );
  if (digest === undefined) return { domain, path, tag: tag ?? "latest" };
  return { domain, path, ...(tag === undefined ? {} : { tag }), digest: parseDigest(digest) };
}

/** `docker.io/library/alpine`: registry and repository, without tag and digest. */
export function repositoryName(reference: ImageReference): string {
  return `${reference.domain}/${reference.path}`;
}

/**
 * The one full spelling of a reference: `docker.io/library/alpine:latest`. A digest says more than a tag, so a
 * reference that has both keeps only the digest.
 */
export function canonicalName(reference: ImageReference): string {
  const { tag, digest } = reference;
  return repositoryName(reference) + (digest === undefined ? `:${tag}` : `@${digest}`);
}

/** The short spelling that people use, `alpine:latest`; `parseReference` reads it back. */
export function familiarName(reference: ImageReference): string {
  const canonical = canonicalName(reference);
  const short = canonical.replace(/^docker\.io\/(library\/(?=[^/]+$))?/, "");
  // A name such as docker.io/localhost/x must keep its domain, or it would be read as a registry's.
  return sameName(short, canonical) ? short : canonical;
}

/** Long enough for the longest name, tag and digest together. */
const maximumLength = 1024;
const maximumNameLength = 255;
const domainPattern =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]{2,45}\])(?::[0-9]{1,5})?$/;
const pathPattern = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const tagPattern = /^\w[\w.-]{0,127}$/;

function splitDigest(text: string): { name: string; digest?: string } {
  const at = text.indexOf("@");
  return at < 0 ? { name: text } : { name: text.slice(0, at), digest: text.slice(at + 1) };
}

/** A colon after the last slash starts a tag; one before it belongs to the registry's port. */
function splitTag(name: string): { repository: string; tag?: string } {
  const colon = name.lastIndexOf(":");
  if (colon <= name.lastIndexOf("/")) return { repository: name };
  return { repository: name.slice(0, colon), tag: name.slice(colon + 1) };
}

/** The first component is a registry when it looks like a host; otherwise the whole name is on Docker Hub. */
function splitDomain(repository: string): { domain: string; path: string } {
  const slash = repository.indexOf("/");
  const first = repository.slice(0, Math.max(slash, 0));
  const isDomain = slash > 0 && (/[.:A-Z]/.test(first) || first === "localhost");
  const domain = isDomain ? first : "docker.io";
  const path = isDomain ? repository.slice(slash + 1) : repository;
  if (domain !== "docker.io" && domain !== "index.docker.io") return { domain, path };
  return { domain: "docker.io", path: path.includes("/") ? path : `library/${path}` };
}

function pathHint(path: string): string {
  if (/[A-Z]/.test(path)) return "Image names are lower case";
  return "An image name has lower-case letters and digits, with '.', '_', '-' between them and '/' between parts";
}

function sameName(short: string, canonical: string): boolean {
  try {
    return canonicalName(parseReference(short)) === canonical;
  } catch {
    return false;
  }
}

function invalid(text: string, hint: string): SupermachineError {
  const shown = text.length > 100 ? `${text.slice(0, 100)}...` : text;
  return new SupermachineError("INVALID_REFERENCE", `Cannot read image reference '${shown}'`, { hint });
}
