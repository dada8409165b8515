import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { ImageStore } from "../image-store.ts";
import type { PullOptions } from "../image-store-types.ts";
import { FakeRegistry, sha256 } from "../testing/fake-registry.ts";
import { TemporaryHome } from "../testing/temporary-home.ts";

const timings = {
  connectMs: 2000,
  headersMs: 1000,
  stallMs: 300,
  documentMs: 1500,
  backoffMs: 5,
  maximumPauseMs: 1500,
  attempts: 4,
};
const layer = randomBytes(300_000);
const layerUrl = `/v2/a/blobs/${sha256(layer)}`;

/** A registry with one image of one layer, and an empty home to pull it into. */
class Scene implements AsyncDisposable {
  readonly registry: FakeRegistry;
  readonly home: TemporaryHome = new TemporaryHome();

  private constructor(registry: FakeRegistry) {
    this.registry = registry;
  }

  static async start(): Promise<Scene> {
    const registry = await FakeRegistry.start();
    registry.addImage("a", { tag: "latest", layers: [layer] });
    return new Scene(registry);
  }

  pull(
    options: PullOptions = {},
    environment: NodeJS.ProcessEnv = { HOME: "/nonexistent" },
  ): Promise<Uint8Array> {
    const store = new ImageStore(this.home, { environment, timings });
    return store
      .pull(`${this.registry.host}/a`, options)
      .then((image) => readFileSync(image.layers[0]?.path ?? ""));
  }

  /** Answers requests of the layer, counted from 1, in the test's own way; false leaves them to the registry. */
  onLayer(act: (count: number, response: ServerResponse, request: IncomingMessage) => boolean): void {
    let count = 0;
    this.registry.intercept = (request, response) =>
      request.url === layerUrl && act(++count, response, request);
  }

  /** The Range headers of the requests for the layer. */
  ranges(): (string | undefined)[] {
    return this.registry.requests.filter(({ url }) => url === layerUrl).map(({ range }) => range);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.registry[Symbol.asyncDispose]();
    this.home[Symbol.dispose]();
  }
}

/** Sends the first bytes of what is asked for, then ends the connection; all of them arrive. */
function breakAfter(length: number, response: ServerResponse, from = 0): boolean {
  const headers = {
    "content-length": layer.length - from,
    "content-range": `bytes ${from}-${layer.length - 1}/${layer.length}`,
  };
  response.writeHead(from === 0 ? 200 : 206, headers);
  response.write(layer.subarray(from, from + length), () => response.socket?.end());
  return true;
}

function offset(request: IncomingMessage): number {
  return Number(/\d+/.exec(request.headers.range ?? "")?.[0] ?? 0);
}

test("a download that breaks is resumed where it broke, as often as it takes", async () => {
  await using scene = await Scene.start();
  // More breaks than tries in a row are allowed; but each brings something.
  scene.onLayer((count, response, request) => count <= 6 && breakAfter(40_000, response, offset(request)));
  assert.deepEqual(Buffer.from(await scene.pull()), layer);
  const offsets = scene.ranges().map((range) => Number(/\d+/.exec(range ?? "")?.[0] ?? 0));
  assert.equal(offsets.length, 7);
  // What has arrived when a connection breaks may be a little less than what was sent.
  for (const [at, offset] of offsets.entries())
    assert.ok(at === 0 || offset > (offsets[at - 1] ?? 0), `${offsets}`);
});

test("a server that ignores ranges is read from the start", async () => {
  await using scene = await Scene.start();
  scene.onLayer((count, response) => {
    if (count === 1) return breakAfter(50_000, response);
    response.writeHead(200, { "content-length": layer.length }).end(layer);
    return true;
  });
  assert.deepEqual(Buffer.from(await scene.pull()), layer);
});

test("a range that begins elsewhere than asked is not trusted", async () => {
  await using scene = await Scene.start();
  scene.onLayer((count, response) => {
    if (count === 1) return breakAfter(50_000, response);
    return count === 2 && breakAfter(1000, response, 60_000);
  });
  assert.deepEqual(Buffer.from(await scene.pull()), layer);
  const [first, second, third, ...more] = scene.ranges();
  assert.deepEqual([first, third, more], [undefined, undefined, []]);
  assert.match(second ?? "", /^bytes=[1-9]/);
});

test("a pull that failed halfway leaves a piece that the next one uses", async () => {
  await using scene = await Scene.start();
  scene.onLayer((count, response) => (count === 1 ? breakAfter(70_000, response) : !!response.destroy()));
  await assert.rejects(scene.pull(), { code: "REGISTRY_UNAVAILABLE" });
  const [piece = "", ...others] = await readdir(scene.home.partials);
  assert.deepEqual(others, []);
  const { size } = statSync(join(scene.home.partials, piece));
  assert.ok(size > 0);
  scene.registry.intercept = undefined;
  scene.registry.requests.length = 0;
  assert.deepEqual(Buffer.from(await scene.pull()), layer);
  assert.deepEqual(scene.ranges(), [`bytes=${size}-`]);
  assert.deepEqual(await readdir(scene.home.partials), []);
});

test("a piece with wrong content is noticed at the end and fetched anew", async () => {
  await using scene = await Scene.start();
  mkdirSync(scene.home.partials, { recursive: true });
  const name = `${sha256(layer).slice(7)}.released.0123456789ab`;
  writeFileSync(join(scene.home.partials, name), Buffer.alloc(90_000));
  assert.deepEqual(Buffer.from(await scene.pull()), layer);
  assert.deepEqual(scene.ranges(), ["bytes=90000-", undefined]);
});

test("a piece that is already whole needs no request", async () => {
  await using scene = await Scene.start();
  mkdirSync(scene.home.partials, { recursive: true });
  writeFileSync(join(scene.home.partials, `${sha256(layer).slice(7)}.released.0123456789ab`), layer);
  assert.deepEqual(Buffer.from(await scene.pull()), layer);
  assert.deepEqual(scene.ranges(), []);
});

test("429 and 5xx are tried again, with the pause the server asks for", async () => {
  await using scene = await Scene.start();
  const statuses = [503, 429, 500];
  scene.registry.intercept = (request, response) => {
    const status = request.url?.includes("manifests") ? statuses.shift() : undefined;
    if (status === undefined) return false;
    response.writeHead(status, status === 429 ? { "retry-after": "1" } : {}).end();
    return true;
  };
  const started = performance.now();
  assert.deepEqual(Buffer.from(await scene.pull()), layer);
  assert.ok(performance.now() - started >= 1000);
});

test("a server that stays overloaded, or asks for too long a pause, is given up", async () => {
  await using scene = await Scene.start();
  scene.registry.intercept = (_, response) => !!response.writeHead(502).end();
  await assert.rejects(scene.pull(), { code: "REGISTRY_UNAVAILABLE", message: /502/ });
  assert.equal(scene.registry.paths().filter((path) => path.includes("manifests")).length, timings.attempts);
  scene.registry.intercept = (_, response) => !!response.writeHead(429, { "retry-after": "3600" }).end();
  await assert.rejects(scene.pull(), { code: "REGISTRY_UNAVAILABLE", hint: /log in/ });
});

test("credentials do not follow a redirect to another host", async () => {
  await using scene = await Scene.start();
  const seen: (string | undefined)[] = [];
  const storage = createServer((request, response) => {
    seen.push(request.headers.authorization);
    const from = offset(request);
    if (from === 0) breakAfter(100_000, response);
    else breakAfter(layer.length, response, from);
  });
  await new Promise<void>((resolve) => storage.listen(0, "127.0.0.1", resolve));
  try {
    scene.registry.authentication = { kind: "bearer" };
    const location = `http://127.0.0.1:${(storage.address() as AddressInfo).port}/blob`;
    scene.onLayer((_, response, request) =>
      request.headers.authorization === undefined ? false : !!response.writeHead(307, { location }).end(),
    );
    assert.deepEqual(Buffer.from(await scene.pull()), layer);
    assert.deepEqual(seen, [undefined, undefined]);
  } finally {
    storage.closeAllConnections();
    storage.close();
  }
});

test("redirects without end, to nowhere, or away from TLS are refused", async () => {
  await using scene = await Scene.start();
  for (const location of [layerUrl, "http://192.0.2.1/blob", "ftp://127.0.0.1/", "http://["]) {
    scene.onLayer((_, response) => !!response.writeHead(302, { location }).end());
    await assert.rejects(scene.pull(), { code: "REGISTRY_PROTOCOL", message: /redirects/ }, location);
  }
});

test("content that is not what its digest says is refused and leaves nothing", async () => {
  await using scene = await Scene.start();
  scene.onLayer((_, response) => !!response.writeHead(200).end(Buffer.alloc(layer.length)));
  await assert.rejects(scene.pull(), { code: "DIGEST_MISMATCH" });
  scene.onLayer((_, response) => !!response.writeHead(200).end(Buffer.concat([layer, layer])));
  await assert.rejects(scene.pull(), { code: "DIGEST_MISMATCH", message: /more than/ });
  assert.deepEqual(await readdir(scene.home.partials), []);
  assert.deepEqual(await new ImageStore(scene.home).list(), []);
});

test("a body without end is cut off at the announced size", { timeout: 10_000 }, async () => {
  await using scene = await Scene.start();
  scene.onLayer((_, response) => {
    response.writeHead(200);
    const more = () =>
      void (response.destroyed || response.write(Buffer.alloc(65_536), () => setImmediate(more)));
    more();
    return true;
  });
  await assert.rejects(scene.pull(), { code: "DIGEST_MISMATCH" });
});

test("a body that stalls is given up and resumed", { timeout: 30_000 }, async () => {
  await using scene = await Scene.start();
  scene.onLayer((count, response) => {
    if (count > 1) return false;
    response.writeHead(200, { "content-length": layer.length });
    response.write(layer.subarray(0, 10_000));
    return true;
  });
  assert.deepEqual(Buffer.from(await scene.pull()), layer);
  assert.equal(scene.ranges().length, 2);
  assert.match(scene.ranges()[1] ?? "", /^bytes=/);
});

test("a manifest that trickles in is given up", { timeout: 30_000 }, async () => {
  await using scene = await Scene.start();
  scene.registry.intercept = (request, response) => {
    if (!request.url?.includes("manifests")) return false;
    response.writeHead(200);
    const timer = setInterval(() => response.write(" "), 50);
    response.on("close", () => clearInterval(timer));
    return true;
  };
  await assert.rejects(scene.pull(), { code: "REGISTRY_UNAVAILABLE", message: /too long/ });
});

test("a manifest that is huge, altered, or announced with another digest is refused", async () => {
  await using scene = await Scene.start();
  const answers: [(response: ServerResponse) => void, string][] = [
    [(response) => response.writeHead(200).end(Buffer.alloc(5 * 1024 * 1024, 32)), "REGISTRY_PROTOCOL"],
    [
      (response) => response.writeHead(200, { "docker-content-digest": sha256(layer) }).end("{}"),
      "DIGEST_MISMATCH",
    ],
    [
      (response) => response.writeHead(200, { "docker-content-digest": "nonsense" }).end("{}"),
      "REGISTRY_PROTOCOL",
    ],
    [
      (response) => response.writeHead(200, { "content-type": "text/html" }).end("<html>"),
      "REGISTRY_PROTOCOL",
    ],
    [(response) => response.writeHead(418).end(), "REGISTRY_PROTOCOL"],
  ];
  for (const [answer, code] of answers) {
    scene.registry.intercept = (request, response) => {
      if (!request.url?.includes("manifests")) return false;
      answer(response);
      return true;
    };
    await assert.rejects(scene.pull(), { code });
  }
});

test("a mirror is asked first, and the registry when it fails", async () => {
  await using scene = await Scene.start();
  await using mirror = await FakeRegistry.start();
  const mirrors = { [scene.registry.host]: ["127.0.0.1:1", mirror.host] };
  await scene.pull({ mirrors });
  assert.equal(mirror.requests.length > 0, true);
  assert.equal(scene.ranges().length, 1);
  mirror.addImage("a", { tag: "latest", layers: [layer] });
  await new ImageStore(scene.home).remove(`${scene.registry.host}/a`);
  scene.registry.requests.length = 0;
  await scene.pull({ mirrors });
  assert.deepEqual(scene.registry.requests, []);
});

test("a proxy from the environment is used, but not for this machine", async () => {
  await using scene = await Scene.start();
  const asked: string[] = [];
  const proxy = createServer();
  proxy.on("connect", (request, socket) => {
    asked.push(request.url ?? "");
    socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const address = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const saved = process.env["HTTPS_PROXY"];
  process.env["HTTPS_PROXY"] = address;
  try {
    await scene.pull();
    assert.deepEqual(asked, []);
    const far = new ImageStore(scene.home, { environment: {}, timings }).pull("registry.invalid/a");
    await assert.rejects(far, { code: "REGISTRY_UNAVAILABLE" });
    assert.equal(asked[0], "registry.invalid:443");
  } finally {
    if (saved === undefined) delete process.env["HTTPS_PROXY"];
    else process.env["HTTPS_PROXY"] = saved;
    proxy.close();
  }
});

test("an abort ends a pull at once and leaves the piece for later", { timeout: 10_000 }, async () => {
  await using scene = await Scene.start();
  const controller = new AbortController();
  scene.onLayer((_, response) => {
    response.writeHead(200, { "content-length": layer.length });
    response.write(layer.subarray(0, 10_000), () => setTimeout(() => controller.abort(), 50));
    return true;
  });
  await assert.rejects(scene.pull({ signal: controller.signal }), { code: "ABORTED" });
  assert.equal((await readdir(scene.home.partials)).length, 1);
  assert.deepEqual(await readdir(scene.home.temporary), []);
});

test("two pulls of one image at once in one process fetch it once", async () => {
  await using scene = await Scene.start();
  scene.onLayer((_, response) => {
    response.writeHead(200, { "content-length": layer.length });
    response.write(layer.subarray(0, 1000), () => setTimeout(() => response.end(layer.subarray(1000)), 250));
    return true;
  });
  const first = scene.pull();
  await new Promise((resolve) => setTimeout(resolve, 100));
  const both = await Promise.all([first, scene.pull()]);
  for (const bytes of both) assert.deepEqual(Buffer.from(bytes), layer);
  assert.equal(scene.ranges().length, 1);
});

test("mirrors and insecure registries are the user's to list in the home folder, once for all commands", async () => {
  await using scene = await Scene.start();
  await using mirror = await FakeRegistry.start();
  mirror.addImage("a", { tag: "latest", layers: [layer] });
  const { registrySettings } = scene.home;
  writeFileSync(registrySettings, JSON.stringify({ mirrors: { [scene.registry.host]: [mirror.host] } }));
  assert.equal(layer.equals(await scene.pull()), true);
  assert.deepEqual(scene.registry.requests, []);
  for (const wrong of ["{", '{"mirror": {}}', '{"insecure": "host"}', '{"insecure": ["http://host/"]}']) {
    writeFileSync(registrySettings, wrong);
    await assert.rejects(scene.pull({ policy: "always" }), { code: "INVALID_ARGUMENT" }, wrong);
  }
});
