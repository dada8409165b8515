import type { Response } from "undici";
import * as v from "valibot";
import { SupermachineError } from "../../../errors/supermachine-error.ts";
import { type Challenge, parseChallenges } from "../../challenge.ts";
import { type CredentialLookup, findCredentials } from "./credentials.ts";
import { type HttpClient, protocolError } from "./http-client.ts";
import { withRetries } from "./retry.ts";

/**
 * Answers one registry's demands for authentication: basic, or bearer tokens from the token server that the registry
 * names (the distribution project's "token authentication" and its OAuth2 variant). Tokens are kept per scope until
 * shortly before they expire.
 */
export class Authenticator {
  readonly #http: HttpClient;
  readonly #domain: string;
  readonly #environment: NodeJS.ProcessEnv;
  readonly #authorizations = new Map<string, Promise<Authorization>>();
  #lookup: Promise<CredentialLookup> | undefined;

  constructor(options: { http: HttpClient; domain: string; environment: NodeJS.ProcessEnv }) {
    this.#http = options.http;
    this.#domain = options.domain;
    this.#environment = options.environment;
  }

  /** The Authorization header to send right away; undefined as long as the registry has not asked for one. */
  async header(scope: string): Promise<string | undefined> {
    const authorization = await this.#authorizations.get(scope)?.catch(() => undefined);
    if (authorization === undefined || Date.now() >= authorization.expiresAtMs) return undefined;
    return authorization.header;
  }

  /**
   * Does what a 401 response asks for, so that the request can be sent again. Several requests that were refused at
   * once share one exchange.
   */
  async answer(
    response: Response,
    refused: { readonly url: URL; readonly scope: string; readonly sent: string | undefined },
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { url, scope, sent } = refused;
    const current = await this.header(scope);
    if (current !== undefined && current !== sent) return;
    const challenges = parseChallenges(response.headers.get("www-authenticate") ?? "");
    const bearer = challenges.find(
      ({ scheme, parameters }) => scheme === "bearer" && parameters.has("realm"),
    );
    const basic = challenges.find(({ scheme }) => scheme === "basic");
    const found = await this.#credentials();
    if (
      sent !== undefined &&
      bearer?.parameters.get("error") !== "insufficient_scope" &&
      !sent.startsWith("Bearer")
    )
      throw this.#denied(found);
    if (bearer !== undefined)
      this.#authorizations.set(scope, this.#fetchToken({ bearer, scope, url, found, signal }));
    else if (basic !== undefined) this.#authorizations.set(scope, Promise.resolve(this.#basic(found)));
    else throw protocolError(url, "asks for an unknown kind of authentication");
    await this.#authorizations.get(scope);
  }

  /** The error for a refusal that stays. */
  async refusal(): Promise<SupermachineError> {
    return this.#denied(await this.#credentials());
  }

  #credentials(): Promise<CredentialLookup> {
    this.#lookup ??= findCredentials(this.#domain, this.#environment);
    return this.#lookup;
  }

  #basic(found: CredentialLookup): Authorization {
    if (found.credentials?.kind !== "password") throw this.#denied(found);
    return { header: basicHeader(found.credentials), expiresAtMs: Infinity };
  }

  async #fetchToken(request: TokenRequest): Promise<Authorization> {
    const { bearer, url, found, signal } = request;
    const realm = this.#realmOf(bearer, url);
    const exchange = { realm, service: bearer.parameters.get("service"), scope: scopeOf(request), found };
    const { response, bytes } = await withRetries(
      () => this.#http.document({ ...tokenExchange(exchange), signal }, maximumTokenLength),
      { timings: this.#http.timings, signal },
    );
    if (response.status === 400 || response.status === 401 || response.status === 403)
      throw this.#denied(found);
    if (!response.ok) throw protocolError(realm, `refuses a token with HTTP status ${response.status}`);
    const parsed = v.safeParse(tokenSchema, parseJson(bytes));
    const token = parsed.success ? parsed.output.token || parsed.output.access_token : undefined;
    // RFC 6750's characters; anything else could smuggle a second header in.
    if (!parsed.success || !token || !/^[\w.~+/=-]+$/.test(token))
      throw protocolError(realm, "answers with something that is no token");
    const lifetimeS = Math.min(Math.max(parsed.output.expires_in ?? 60, 60), 24 * 3600);
    return { header: `Bearer ${token}`, expiresAtMs: Date.now() + (lifetimeS - marginS) * 1000 };
  }

  /** The token server gets the user's login, so its address must be as safe as the registry's. */
  #realmOf(bearer: Challenge, url: URL): URL {
    const text = bearer.parameters.get("realm") ?? "";
    const realm = URL.canParse(text) ? new URL(text) : undefined;
    const isPlain =
      realm?.protocol === "http:" && url.protocol === "http:" && this.#http.plain.allows(realm.host);
    if (realm === undefined || !(realm.protocol === "https:" || isPlain))
      throw protocolError(url, `names an unusable token server '${text.slice(0, 100)}'`);
    return realm;
  }

  #denied(found: CredentialLookup): SupermachineError {
    const login = `docker login${this.#domain === "docker.io" ? "" : ` ${this.#domain}`}`;
    const hint =
      found.credentials === undefined
        ? `Check the image's name; if it is private, log in first: ${login}`
        : `The saved login is wrong or may not read this image; log in again: ${login}`;
    return new SupermachineError("REGISTRY_AUTH", `Registry '${this.#domain}' denies access`, {
      hint: found.note === undefined ? hint : `${hint} (note: ${found.note})`,
    });
  }
}

interface Authorization {
  readonly header: string;
  readonly expiresAtMs: number;
}

interface TokenRequest {
  readonly bearer: Challenge;
  readonly scope: string;
  readonly url: URL;
  readonly found: CredentialLookup;
  readonly signal: AbortSignal | undefined;
}

/** Tokens are small; big ones carry certificates. */
const maximumTokenLength = 1024 * 1024;
/** Renew this long before the end: clocks differ, and a request takes time. */
const marginS = 10;
const tokenSchema = v.object({
  token: v.nullish(v.string()),
  access_token: v.nullish(v.string()),
  expires_in: v.nullish(v.number()),
});

/** What the registry asks for may be more than what we know to need, never less. */
function scopeOf(request: TokenRequest): string {
  return request.bearer.parameters.get("scope") || request.scope;
}

function tokenExchange(exchange: {
  readonly realm: URL;
  readonly service: string | undefined;
  readonly scope: string;
  readonly found: CredentialLookup;
}): { method: "GET" | "POST"; url: URL; headers: Record<string, string>; body?: string } {
  const { realm, service, scope, found } = exchange;
  const login = found.credentials;
  const fields = new URLSearchParams({ ...(service === undefined ? {} : { service }), scope });
  if (login?.kind === "identity-token") {
    fields.set("grant_type", "refresh_token");
    fields.set("refresh_token", login.token);
    fields.set("client_id", "supermachine");
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    return { method: "POST", url: realm, headers, body: fields.toString() };
  }
  const url = new URL(realm);
  for (const [name, value] of fields) url.searchParams.set(name, value);
  if (login === undefined) return { method: "GET", url, headers: {} };
  url.searchParams.set("account", login.username);
  return { method: "GET", url, headers: { authorization: basicHeader(login) } };
}

function basicHeader(login: { readonly username: string; readonly password: string }): string {
  return `Basic ${Buffer.from(`${login.username}:${login.password}`).toString("base64")}`;
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch {
    return undefined;
  }
}
