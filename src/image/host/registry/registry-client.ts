// The distribution spec's "pull" category: https://github.com/opencontainers/distribution-spec/blob/main/spec.md
import type { Response } from "undici";
import { SupermachineError } from "../../../errors/supermachine-error.ts";
import { isDigest } from "../../digest.ts";
import type { Digest } from "../../image.ts";
import { maximumManifestLength } from "../../limits.ts";
import type { Descriptor } from "../../manifest.ts";
import { acceptedManifests } from "../../media-types.ts";
import { canonicalName, type ImageReference } from "../../reference.ts";
import type { RegistryOptions } from "../image-store-types.ts";
import { checkBlob, digestOf } from "../store/content-store.ts";
import { Endpoint } from "./endpoint.ts";
import { discardBody, HttpClient, protocolError, readBounded } from "./http-client.ts";
import { aborted, withRetries } from "./retry.ts";
import type { Timings } from "./timings.ts";

export interface RegistryClientOptions extends RegistryOptions {
  readonly timings: Timings;
  readonly environment: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal | undefined;
}

/** A manifest or index as a registry gave it, verified. */
export interface FetchedManifest {
  readonly bytes: Uint8Array;
  readonly digest: Digest;
  readonly mediaType: string;
}

/** Reads one repository, from its mirrors or its registry, whichever has what is asked for first. */
export class RegistryClient implements AsyncDisposable {
  readonly #reference: ImageReference;
  readonly #http: HttpClient;
  readonly #endpoints: readonly Endpoint[];
  readonly #signal: AbortSignal | undefined;

  constructor(reference: ImageReference, options: RegistryClientOptions) {
    const { environment, signal, mirrors = {} } = options;
    this.#reference = reference;
    this.#signal = signal;
    this.#http = new HttpClient({ timings: options.timings, insecure: options.insecure });
    const domains = [...(mirrors[reference.domain] ?? []), reference.domain];
    const repository = reference.path;
    this.#endpoints = domains.map(
      (domain) => new Endpoint({ http: this.#http, domain, repository, environment }),
    );
  }

  get timings(): Timings {
    return this.#http.timings;
  }

  /** The digest that a tag stands for now; undefined when the registry does not say without sending everything. */
  async head(tag: string): Promise<Digest | undefined> {
    return this.#first(async (endpoint) => {
      const { response } = await endpoint.send({ method: "HEAD", ...this.#manifestRequest(tag) });
      if (response.status === 404) throw this.#notFound();
      const digest = response.headers.get("docker-content-digest");
      return response.ok && digest !== null && isDigest(digest) ? digest : undefined;
    });
  }

  /** A manifest by tag or digest. What comes must match the digest that was asked for, and the one announced. */
  async manifest(tagOrDigest: string): Promise<FetchedManifest> {
    return this.#first((endpoint) => this.#manifestFrom(endpoint, tagOrDigest));
  }

  /**
   * Opens a blob from `offset` on and hands the response to `use`, on one endpoint after the other until one
   * succeeds. `use` is called again, after a pause, when the connection breaks; `progress` as in `withRetries`.
   */
  async blob(
    descriptor: Descriptor,
    options: {
      readonly offset: () => number;
      readonly use: (body: BlobBody) => Promise<void>;
      readonly signal: AbortSignal | undefined;
    },
  ): Promise<void> {
    const { offset, use, signal } = options;
    await this.#first(
      async (endpoint) => {
        const start = offset();
        const range: Record<string, string> = start === 0 ? {} : { range: `bytes=${start}-` };
        const path = `blobs/${descriptor.digest}`;
        const { response } = await endpoint.send({ path, headers: range, signal });
        if (response.status === 404) throw missingBlob(endpoint.host, descriptor);
        if (![200, 206, 416].includes(response.status))
          throw unexpectedStatus(endpoint.host, response.status);
        await use({ response, start: startOf(response, start), host: endpoint.host });
      },
      { progress: offset, signal },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#http[Symbol.asyncDispose]();
  }

  async #manifestFrom(endpoint: Endpoint, tagOrDigest: string): Promise<FetchedManifest> {
    const deadline = AbortSignal.timeout(this.timings.documentMs);
    const signal = this.#signal === undefined ? deadline : AbortSignal.any([this.#signal, deadline]);
    const { response } = await endpoint.send({ ...this.#manifestRequest(tagOrDigest), signal });
    if (response.status === 404) {
      await discardBody(response);
      throw this.#notFound();
    }
    if (!response.ok) throw unexpectedStatus(endpoint.host, response.status);
    const url = new URL(`https://${endpoint.host}`);
    const bytes = await readBounded(response, { url, maximumLength: maximumManifestLength });
    const wanted = isDigest(tagOrDigest) ? tagOrDigest : undefined;
    const announced = response.headers.get("docker-content-digest");
    if (announced !== null && !isDigest(announced)) throw protocolError(url, "announces a malformed digest");
    for (const digest of [wanted, announced])
      if (digest) checkBlob({ digest: digestOf(bytes, digest), size: bytes.length }, { digest });
    const mediaType = (response.headers.get("content-type") ?? "").replace(/;.*$/, "").trim();
    return { bytes, digest: wanted ?? announced ?? digestOf(bytes), mediaType };
  }

  #manifestRequest(tagOrDigest: string): {
    path: string;
    headers: Record<string, string>;
    signal: AbortSignal | undefined;
  } {
    const headers = { accept: acceptedManifests.join(", ") };
    return { path: `manifests/${tagOrDigest}`, headers, signal: this.#signal };
  }

  /** Tries the endpoints in order; the last one, the registry itself, has the last word. */
  async #first<Result>(
    run: (endpoint: Endpoint) => Promise<Result>,
    options: { readonly progress?: () => number; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<Result> {
    const signal = options.signal ?? this.#signal;
    for (const [index, endpoint] of this.#endpoints.entries()) {
      const isLast = index === this.#endpoints.length - 1;
      // A mirror is there to save time, so it gets a second chance and no more.
      const timings = isLast
        ? this.timings
        : { ...this.timings, attempts: Math.min(2, this.timings.attempts) };
      try {
        return await withRetries(() => run(endpoint), { ...options, timings, signal });
      } catch (error) {
        if (signal?.aborted) throw aborted(signal);
        if (isLast || !isRegistryFault(error)) throw error;
      }
    }
    throw new RangeError("A repository has at least one endpoint");
  }

  #notFound(): SupermachineError {
    const name = canonicalName(this.#reference);
    return new SupermachineError("IMAGE_NOT_FOUND", `No image '${name}' in its registry`, {
      hint: "Check the name and the tag",
    });
  }
}

/** A blob's response, and which byte it begins with. */
export interface BlobBody {
  readonly response: Response;
  /** Undefined: the range asked for does not exist (status 416). */
  readonly start: number | undefined;
  readonly host: string;
}

/** A server may ignore the range and send everything; Content-Range says what it did. */
function startOf(response: Response, asked: number): number | undefined {
  if (response.status === 416) return undefined;
  if (response.status === 200) return 0;
  const [, first] = /^bytes (\d{1,16})-/.exec(response.headers.get("content-range") ?? "") ?? [];
  return first === undefined ? asked : Number(first);
}

/** Another endpoint may do better; a full disk here stays full. */
function isRegistryFault(error: unknown): boolean {
  return (
    error instanceof SupermachineError && error.code !== "NO_SPACE" && error.code !== "PERMISSION_DENIED"
  );
}

function missingBlob(host: string, descriptor: Descriptor): SupermachineError {
  return new SupermachineError(
    "REGISTRY_PROTOCOL",
    `Registry '${host}' does not have blob ${descriptor.digest}, which its own manifest names`,
    { hint: "The image is incomplete there; push it again" },
  );
}

function unexpectedStatus(host: string, status: number): SupermachineError {
  return protocolError(new URL(`https://${host}`), `answers with HTTP status ${status}`);
}
