import type { Dispatcher, Response } from "undici";
import { SupermachineError } from "../../../errors/supermachine-error.ts";
import { isLoopback, PlainHttpPolicy } from "./plain-http.ts";
import { parseRetryAfter, TransientError } from "./retry.ts";
import type { Timings } from "./timings.ts";

export interface HttpRequest {
  readonly method?: "GET" | "HEAD" | "POST";
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal?: AbortSignal | undefined;
}

export interface HttpAnswer {
  readonly response: Response;
  /** Another host than the one asked has answered, after a redirect. */
  readonly redirected: boolean;
}

/**
 * One HTTP exchange with a registry, its token server or its blob storage: proxies from the environment, timeouts,
 * and redirects followed by hand so that credentials never reach another host. It does not retry; failures that may
 * pass are thrown as `TransientError`.
 */
export class HttpClient implements AsyncDisposable {
  readonly plain: PlainHttpPolicy;
  readonly timings: Timings;
  #transport: Promise<Transport> | undefined;

  constructor(options: { readonly timings: Timings; readonly insecure?: readonly string[] | undefined }) {
    this.timings = options.timings;
    this.plain = new PlainHttpPolicy(options.insecure ?? []);
  }

  async send(request: HttpRequest): Promise<HttpAnswer> {
    let url = request.url;
    let headers: Record<string, string> = { "user-agent": "supermachine", "accept-encoding": "identity" };
    headers = { ...headers, ...request.headers };
    for (let hop = 0; hop <= maximumRedirects; hop++) {
      const response = await this.#exchange({ ...request, url, headers });
      const location = response.headers.get("location");
      if (![301, 302, 303, 307, 308].includes(response.status) || location === null) {
        await refuseOverload(response, url);
        return { response, redirected: url.origin !== request.url.origin };
      }
      await discardBody(response);
      const next = this.#redirectTarget(url, location);
      // Credentials are for the host that asked for them: a storage service behind it must not see them.
      if (next.origin !== url.origin) delete headers["authorization"];
      url = next;
    }
    throw protocolError(request.url, `redirects more than ${maximumRedirects} times`);
  }

  /** Sends, and reads a body of bounded length within a bounded time. */
  async document(
    request: HttpRequest,
    maximumLength: number,
  ): Promise<{ response: Response; bytes: Uint8Array }> {
    const deadline = AbortSignal.timeout(this.timings.documentMs);
    const signal = request.signal === undefined ? deadline : AbortSignal.any([request.signal, deadline]);
    const { response } = await this.send({ ...request, signal });
    const bytes = await readBounded(response, { url: request.url, maximumLength });
    return { response, bytes };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const transport = await this.#transport?.catch(() => undefined);
    await transport?.destroy();
  }

  async #exchange(request: HttpRequest & { headers: Record<string, string> }): Promise<Response> {
    const { method = "GET", url, headers, body, signal } = request;
    this.#transport ??= loadTransport(this.timings);
    const transport = await this.#transport;
    try {
      return await transport.fetch(url.href, {
        method,
        headers,
        redirect: "manual",
        dispatcher: transport.dispatcherFor(url, this.plain),
        ...(body === undefined ? {} : { body }),
        ...(signal === undefined ? {} : { signal }),
      });
    } catch (error) {
      // Whether a caller gave up or a deadline passed is for `withRetries` to tell.
      throw connectionFailure(url, signal?.aborted ? signal.reason : error);
    }
  }

  #redirectTarget(from: URL, location: string): URL {
    const target = URL.canParse(location, from.href) ? new URL(location, from) : undefined;
    if (target === undefined || !/^https?:$/.test(target.protocol))
      throw protocolError(from, "redirects to something that is no web address");
    if (target.protocol === "https:" || target.origin === from.origin) return target;
    if (from.protocol === "http:" && this.plain.allows(target.host)) return target;
    if (this.plain.isListed(target.host)) return target;
    throw protocolError(from, `redirects to '${target.host}' without TLS`);
  }
}

/** A failed connection as an error that may pass; one that will not (a bad certificate) as a final one. */
export function connectionFailure(url: URL, error: unknown): Error {
  const failure = unreachable(url, error);
  if (isCertificateProblem(error)) return failure;
  // Most likely a wrong name or port, which the user wants to hear of soon.
  const isAbsent = codesOf(error).some((code) => code === "ENOTFOUND" || code === "ECONNREFUSED");
  return new TransientError(failure, isAbsent || lacksTls(error) ? { attempts: 2 } : {});
}

/** Lets go of a body nobody wants; one whose connection broke meanwhile is gone already. */
export async function discardBody(response: Response): Promise<void> {
  await response.body?.cancel().catch(() => undefined);
}

export function protocolError(url: URL, detail: string): SupermachineError {
  return new SupermachineError("REGISTRY_PROTOCOL", `Server '${url.host}' ${detail}`, {
    hint: "This does not look like an image registry that works; check its address",
  });
}

/** A registry, its token server and its storage may each redirect once; more is a loop. */
const maximumRedirects = 5;

interface Transport {
  readonly fetch: typeof import("undici").fetch;
  dispatcherFor(url: URL, plain: PlainHttpPolicy): Dispatcher;
  destroy(): Promise<void>;
}

/** Loaded at the first request: a cached image needs no network, and the module takes its time to load. */
async function loadTransport(timings: Timings): Promise<Transport> {
  const { Agent, EnvHttpProxyAgent, fetch } = await import("undici");
  const limits = { headersTimeout: timings.headersMs, bodyTimeout: timings.stallMs };
  const connect = { timeout: timings.connectMs };
  const proxied = new EnvHttpProxyAgent({ ...limits, connect });
  // As in other clients, no proxy for this machine's own servers, whatever the environment says.
  const direct = new Agent({ ...limits, connect });
  const unverified = new EnvHttpProxyAgent({
    ...limits,
    connect: { ...connect, rejectUnauthorized: false },
    requestTls: { rejectUnauthorized: false },
  });
  return {
    fetch,
    dispatcherFor(url, plain) {
      if (plain.isListed(url.host)) return unverified;
      return isLoopback(url.hostname) ? direct : proxied;
    },
    async destroy() {
      await Promise.all([proxied.destroy(), direct.destroy(), unverified.destroy()]);
    },
  };
}

/** 408, 429 and 5xx may pass; the answer's own wish for a pause is honoured. */
async function refuseOverload(response: Response, url: URL): Promise<void> {
  if (response.status < 500 && response.status !== 429 && response.status !== 408) return;
  await discardBody(response);
  const failure =
    response.status === 429
      ? new SupermachineError(
          "REGISTRY_UNAVAILABLE",
          `Registry '${url.host}' refuses more requests for now`,
          {
            hint: "Wait a while, or log in (`docker login`): known users may make more requests",
            data: { status: 429 },
          },
        )
      : new SupermachineError(
          "REGISTRY_UNAVAILABLE",
          `Registry '${url.host}' fails with HTTP status ${response.status}`,
          { hint: "The fault is at the registry; try again later", data: { status: response.status } },
        );
  const retryAfterMs = parseRetryAfter(response.headers.get("retry-after"), Date.now());
  throw new TransientError(failure, { retryAfterMs });
}

export async function readBounded(
  response: Response,
  limit: { readonly url: URL; readonly maximumLength: number },
): Promise<Uint8Array> {
  const { url, maximumLength } = limit;
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of response.body ?? []) {
      length += chunk.length;
      if (length > maximumLength)
        throw protocolError(url, `sends a document of more than ${maximumLength} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    throw error instanceof SupermachineError ? error : connectionFailure(url, error);
  }
  return Buffer.concat(chunks);
}

function unreachable(url: URL, error: unknown): SupermachineError {
  return new SupermachineError("REGISTRY_UNAVAILABLE", `Cannot reach '${url.host}': ${reasonOf(error)}`, {
    hint: remedyFor(error),
    cause: error,
  });
}

function reasonOf(error: unknown): string {
  if (error instanceof Error && error.name === "TimeoutError") return "it takes too long to answer";
  const codes = codesOf(error);
  return codes.map((code) => reasons.get(code)).find(Boolean) ?? codes.at(-1) ?? "the connection failed";
}

/** Settings: `readRegistrySettings`. */
function remedyFor(error: unknown): string {
  const listed = `list the host as "insecure" in registries.json`;
  if (isCertificateProblem(error))
    return `Its certificate is not trusted; name your authority's file in NODE_EXTRA_CA_CERTS, or ${listed}`;
  if (lacksTls(error)) return `If it is a registry, and you trust the network on the way, ${listed}`;
  return "Check the name, the network, and the proxy settings (HTTPS_PROXY, NO_PROXY)";
}

function isCertificateProblem(error: unknown): boolean {
  return codesOf(error).some((code) => /CERT|UNABLE_TO_VERIFY|SELF_SIGNED/.test(code));
}

function lacksTls(error: unknown): boolean {
  return codesOf(error).some((code) => reasons.get(code) === "it does not speak TLS");
}

/** `fetch` hides what happened in causes, and in the errors of each address that was tried. */
function codesOf(error: unknown): string[] {
  const codes: string[] = [];
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 5; depth++) {
    if ("code" in at && typeof at.code === "string") codes.push(at.code);
    at = at instanceof AggregateError ? at.errors[0] : at.cause;
  }
  return codes;
}

const reasons: ReadonlyMap<string, string> = new Map([
  ["ECONNREFUSED", "nothing listens there"],
  ["ENOTFOUND", "there is no such host"],
  ["EAI_AGAIN", "the name service does not answer"],
  ["ECONNRESET", "the connection broke"],
  ["UND_ERR_SOCKET", "the connection broke"],
  ["UND_ERR_CONNECT_TIMEOUT", "it does not answer"],
  ["UND_ERR_HEADERS_TIMEOUT", "it takes too long to answer"],
  ["UND_ERR_BODY_TIMEOUT", "it stopped sending"],
  ["ERR_SSL_WRONG_VERSION_NUMBER", "it does not speak TLS"],
  ["ERR_SSL_PACKET_LENGTH_TOO_LONG", "it does not speak TLS"],
]);
