import { SupermachineError } from "../../../errors/supermachine-error.ts";
import { Authenticator } from "./authenticator.ts";
import { discardBody, type HttpAnswer, type HttpClient } from "./http-client.ts";
import { TransientError } from "./retry.ts";

/** A request to a registry, below `/v2/<repository>/`. */
export interface RegistryRequest {
  readonly method?: "GET" | "HEAD";
  /** "manifests/latest", "blobs/sha256:..." */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

/** One server that may have a repository: its registry or a mirror of it. Authenticates; does not retry. */
export class Endpoint {
  readonly host: string;
  readonly #http: HttpClient;
  readonly #repository: string;
  readonly #authenticator: Authenticator;
  #base: Promise<URL> | undefined;

  constructor(options: {
    readonly http: HttpClient;
    /** As in references: `docker.io`, `localhost:5000`. */
    readonly domain: string;
    readonly repository: string;
    readonly environment: NodeJS.ProcessEnv;
  }) {
    const { http, domain, environment } = options;
    this.host = domain === "docker.io" ? "registry-1.docker.io" : domain;
    this.#http = http;
    this.#repository = options.repository;
    this.#authenticator = new Authenticator({ http, domain, environment });
  }

  /** The answer to a request, once authenticated: 2xx, or 404 and the like for the caller to explain. */
  async send(request: RegistryRequest): Promise<HttpAnswer> {
    const scope = `repository:${this.#repository}:pull`;
    this.#base ??= this.#findBase(request.signal);
    const base = await this.#base.catch((error: unknown) => {
      this.#base = undefined;
      throw error;
    });
    const url = new URL(`/v2/${this.#repository}/${request.path}`, base);
    // The first refusal tells how to authenticate, a second one that a kept token has expired.
    for (let round = 0; round < 3; round++) {
      const authorization = await this.#authenticator.header(scope);
      const headers = { ...request.headers, ...(authorization === undefined ? {} : { authorization }) };
      const answer = await this.#http.send({ ...request, url, headers });
      const { response, redirected } = answer;
      if (response.status !== 401 && response.status !== 403) return answer;
      await discardBody(response);
      if (redirected) throw new TransientError(storageRefusal(url, response.status));
      if (response.status === 403) break;
      await this.#authenticator.answer(response, { url, scope, sent: authorization }, request.signal);
    }
    throw await this.#authenticator.refusal();
  }

  /** TLS wherever it is spoken; without it only where that is allowed, and only after TLS has failed. */
  async #findBase(signal: AbortSignal | undefined): Promise<URL> {
    const secure = new URL(`https://${this.host}`);
    if (!this.#http.plain.allows(this.host)) return secure;
    try {
      const { response } = await this.#http.send({ url: new URL("/v2/", secure), signal });
      await discardBody(response);
      return secure;
    } catch (error) {
      // An overloaded server does speak TLS; whatever else fails may be one that does not.
      if (signal?.aborted) throw error;
      const status = error instanceof TransientError ? error.failure.data["status"] : undefined;
      if (status !== undefined) return secure;
      if (error instanceof SupermachineError) throw error;
      return new URL(`http://${this.host}`);
    }
  }
}

/** Links to storage expire; the registry makes a new one. */
function storageRefusal(url: URL, status: number): SupermachineError {
  return new SupermachineError(
    "REGISTRY_UNAVAILABLE",
    `The storage behind registry '${url.host}' denies access with HTTP status ${status}`,
    { hint: "The fault is at the registry; try again later", data: { status } },
  );
}
