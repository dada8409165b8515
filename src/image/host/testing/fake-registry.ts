import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Digest } from "../../image.ts";
import { ociConfig, ociIndex, ociLayer, ociManifest } from "../../media-types.ts";

/** A request as it arrived. */
export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly authorization: string | undefined;
  readonly range: string | undefined;
}

/** Answers a request in a test's own way; false leaves it to the registry. */
export type Intercept = (request: IncomingMessage, response: ServerResponse) => boolean | Promise<boolean>;

export type Authentication =
  | { readonly kind: "none" }
  | { readonly kind: "basic"; readonly login: string }
  /** Tokens are handed out at `/token`, to anybody when `login` is absent. */
  | { readonly kind: "bearer"; readonly login?: string; readonly identityToken?: string };

/** A registry on loopback that holds what a test gives it and misbehaves as the test asks. */
export class FakeRegistry implements AsyncDisposable {
  readonly blobs: Map<string, Uint8Array> = new Map();
  /** By "repository:tag" and "repository@digest". */
  readonly manifests: Map<string, { bytes: Uint8Array; mediaType: string }> = new Map();
  readonly requests: SeenRequest[] = [];
  readonly host: string;
  intercept: Intercept | undefined;
  authentication: Authentication = { kind: "none" };
  /** Tokens given out. */
  tokens = 0;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("request", (request, response) => void this.#serve(request, response));
  }

  /** Speaks TLS when given a key and its certificate, both in PEM. */
  static async start(tls?: { readonly key: string; readonly cert: string }): Promise<FakeRegistry> {
    const server = tls === undefined ? createServer() : createSecureServer(tls);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new FakeRegistry(server);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  /** Requests that are not the client's search for TLS. */
  paths(): string[] {
    return this.requests.map(({ method, url }) => `${method} ${url}`);
  }

  addBlob(bytes: Uint8Array): { digest: Digest; size: number } {
    const digest = sha256(bytes);
    this.blobs.set(digest, bytes);
    return { digest, size: bytes.length };
  }

  /** Adds an image for a platform and returns the descriptor of its manifest. */
  addImage(repository: string, options: FakeImage = {}): FakeDescriptor {
    const { layers = [Buffer.from("layer")], tag, architecture = hostArchitecture() } = options;
    const blobs = layers.map((layer) => this.addBlob(layer));
    const config = this.addBlob(
      json({
        os: "linux",
        architecture,
        config: { Cmd: ["/bin/sh"], ...options.config },
        rootfs: { type: "layers", diff_ids: blobs.map(({ digest }) => digest) },
      }),
    );
    const descriptor = this.addManifest(repository, {
      document: {
        schemaVersion: 2,
        mediaType: ociManifest,
        config: { mediaType: ociConfig, ...config },
        layers: blobs.map((blob) => ({ mediaType: options.layerType ?? ociLayer, ...blob })),
      },
      mediaType: ociManifest,
      ...(tag === undefined ? {} : { tag }),
    });
    return { ...descriptor, platform: { os: "linux", architecture } };
  }

  addIndex(
    repository: string,
    options: { manifests: readonly FakeDescriptor[]; tag?: string },
  ): FakeDescriptor {
    const document = { schemaVersion: 2, mediaType: ociIndex, manifests: options.manifests };
    const { tag } = options;
    return this.addManifest(repository, {
      document,
      mediaType: ociIndex,
      ...(tag === undefined ? {} : { tag }),
    });
  }

  addManifest(
    repository: string,
    options: { document: unknown; mediaType: string; tag?: string },
  ): FakeDescriptor {
    const { mediaType, tag } = options;
    const bytes = json(options.document);
    const digest = sha256(bytes);
    this.manifests.set(`${repository}@${digest}`, { bytes, mediaType });
    if (tag !== undefined) this.manifests.set(`${repository}:${tag}`, { bytes, mediaType });
    return { mediaType, digest, size: bytes.length };
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "GET", url = "/", headers } = request;
    this.requests.push({ method, url, authorization: headers.authorization, range: headers.range });
    if ((await this.intercept?.(request, response)) === true) return;
    const { pathname } = new URL(url, "http://registry");
    if (pathname === "/token") return this.#serveToken(request, response);
    if (!this.#isAuthorized(headers.authorization)) return this.#challenge(response);
    const [, repository, kind, name = ""] = /^\/v2\/(.+)\/(manifests|blobs)\/(.+)$/.exec(pathname) ?? [];
    if (kind === "manifests")
      return this.#serveManifest(request, response, `${repository}${name.includes(":") ? "@" : ":"}${name}`);
    if (kind === "blobs") return this.#serveBlob(request, response, name);
    response.writeHead(pathname === "/v2/" ? 200 : 404).end();
  }

  #serveManifest(request: IncomingMessage, response: ServerResponse, key: string): void {
    const found = this.manifests.get(key);
    if (found === undefined) return void response.writeHead(404).end("{}");
    const { bytes, mediaType } = found;
    const headers = {
      "content-type": mediaType,
      "docker-content-digest": sha256(bytes),
      "content-length": bytes.length,
    };
    response.writeHead(200, headers).end(request.method === "HEAD" ? undefined : bytes);
  }

  #serveBlob(request: IncomingMessage, response: ServerResponse, digest: string): void {
    const bytes = this.blobs.get(digest);
    if (bytes === undefined) return void response.writeHead(404).end();
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    if (from === 0) return void response.writeHead(200, { "content-length": bytes.length }).end(bytes);
    if (from >= bytes.length) return void response.writeHead(416).end();
    const range = `bytes ${from}-${bytes.length - 1}/${bytes.length}`;
    response.writeHead(206, { "content-range": range, "content-length": bytes.length - from });
    response.end(bytes.subarray(from));
  }

  async #serveToken(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.authentication.kind !== "bearer") return void response.writeHead(404).end();
    const { login, identityToken } = this.authentication;
    let body = "";
    for await (const chunk of request) body += chunk;
    const granted =
      identityToken === undefined
        ? login === undefined || request.headers.authorization === basic(login)
        : new URLSearchParams(body).get("refresh_token") === identityToken;
    if (!granted) return void response.writeHead(401).end("{}");
    this.tokens++;
    const name = identityToken === undefined ? "token" : "access_token";
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ [name]: `token-${this.tokens}`, expires_in: 300 }));
  }

  #isAuthorized(authorization: string | undefined): boolean {
    if (this.authentication.kind === "none") return true;
    if (this.authentication.kind === "basic") return authorization === basic(this.authentication.login);
    return authorization === `Bearer token-${this.tokens}`;
  }

  #challenge(response: ServerResponse): void {
    const bearer = `Bearer realm="http://${this.host}/token",service="fake"`;
    const offer = this.authentication.kind === "basic" ? 'Basic realm="fake"' : bearer;
    response.writeHead(401, { "www-authenticate": offer }).end("{}");
  }
}

export interface FakeImage {
  readonly layers?: readonly Uint8Array[];
  readonly tag?: string;
  readonly architecture?: string;
  readonly layerType?: string;
  readonly config?: Readonly<Record<string, unknown>>;
}

export interface FakeDescriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly platform?: { readonly os: string; readonly architecture: string };
}

export function sha256(bytes: Uint8Array): Digest {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}` as Digest;
}

export function hostArchitecture(): string {
  return process.arch === "x64" ? "amd64" : process.arch;
}

function json(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}

function basic(login: string): string {
  return `Basic ${Buffer.from(login).toString("base64")}`;
}
