import assert from "node:assert/strict";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseChallenges } from "../../challenge.ts";
import { ImageStore } from "../image-store.ts";
import { FakeRegistry } from "../testing/fake-registry.ts";
import { TemporaryHome } from "../testing/temporary-home.ts";
import { findCredentials } from "./credentials.ts";

const timings = {
  connectMs: 2000,
  headersMs: 2000,
  stallMs: 2000,
  documentMs: 4000,
  backoffMs: 5,
  attempts: 3,
};

/** A store whose user has logged in as `config` says. */
function loggedIn(
  home: TemporaryHome,
  config: unknown,
): { store: ImageStore; environment: NodeJS.ProcessEnv } {
  const folder = join(home.root, "docker");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "config.json"), typeof config === "string" ? config : JSON.stringify(config));
  const environment = { DOCKER_CONFIG: folder, PATH: `${folder}:${process.env["PATH"]}` };
  return { store: new ImageStore(home, { environment, timings }), environment };
}

/** Installs a credential helper that is a shell script. */
function helper(home: TemporaryHome, name: string, script: string): void {
  const path = join(home.root, "docker", `docker-credential-${name}`);
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
}

function auth(login: string): string {
  return Buffer.from(login).toString("base64");
}

test("parseChallenges() reads what registries send", () => {
  const [bearer, basic] = parseChallenges(
    'Bearer realm="https://auth.example/token",service="a, b",scope="repository:x:pull,push",error="x\\"y", Basic realm=z',
  );
  assert.equal(bearer?.scheme, "bearer");
  assert.deepEqual(
    [...(bearer?.parameters ?? [])],
    [
      ["realm", "https://auth.example/token"],
      ["service", "a, b"],
      ["scope", "repository:x:pull,push"],
      ["error", 'x"y'],
    ],
  );
  assert.equal(basic?.parameters.get("realm"), "z");
  assert.deepEqual(parseChallenges(""), []);
  assert.equal(parseChallenges(`Basic ${"x".repeat(100_000)}`).length <= 2, true);
});

test("an anonymous token is fetched once for a whole pull", async () => {
  await using registry = await FakeRegistry.start();
  using home = new TemporaryHome();
  registry.authentication = { kind: "bearer" };
  registry.addImage("a/b", { tag: "latest", layers: [1, 2, 3, 4].map((n) => Buffer.from(`layer ${n}`)) });
  await loggedIn(home, {}).store.pull(`${registry.host}/a/b`);
  const tokens = registry.requests.filter(({ url }) => url.startsWith("/token"));
  assert.equal(tokens.length, 1);
  const query = new URL(tokens[0]?.url ?? "", "http://x").searchParams;
  assert.equal(query.get("scope"), "repository:a/b:pull");
  assert.equal(query.get("service"), "fake");
  assert.equal(tokens[0]?.authorization, undefined);
});

test("a saved login is used for tokens and for basic authentication", async () => {
  for (const kind of ["bearer", "basic"] as const) {
    await using registry = await FakeRegistry.start();
    using home = new TemporaryHome();
    registry.authentication = { kind, login: "user:pass:word" };
    registry.addImage("a", { tag: "latest" });
    const { store } = loggedIn(home, { auths: { [registry.host]: { auth: auth("user:pass:word") } } });
    await store.pull(`${registry.host}/a`);
    assert.equal(registry.requests[0]?.authorization, undefined, "nothing is sent unasked");
  }
});

test("an identity token is exchanged by POST", async () => {
  await using registry = await FakeRegistry.start();
  using home = new TemporaryHome();
  registry.authentication = { kind: "bearer", identityToken: "refresh-me" };
  registry.addImage("a", { tag: "latest" });
  const { store } = loggedIn(home, { auths: { [registry.host]: { identitytoken: "refresh-me" } } });
  await store.pull(`${registry.host}/a`);
  assert.ok(registry.paths().includes("POST /token"));
});

test("a wrong or missing login is REGISTRY_AUTH with the command that helps", async () => {
  for (const kind of ["bearer", "basic"] as const) {
    await using registry = await FakeRegistry.start();
    using home = new TemporaryHome();
    registry.authentication = { kind, login: "user:right" };
    registry.addImage("a", { tag: "latest" });
    const hint = new RegExp(`docker login ${registry.host}`);
    const wrong = loggedIn(home, { auths: { [registry.host]: { auth: auth("user:wrong") } } });
    await assert.rejects(wrong.store.pull(`${registry.host}/a`), { code: "REGISTRY_AUTH", hint });
    const missing = loggedIn(home, {});
    await assert.rejects(missing.store.pull(`${registry.host}/a`), { code: "REGISTRY_AUTH", hint });
    assert.ok(registry.requests.length < 12, "refusals are not retried");
  }
});

test("a token that expires during a pull is renewed", async () => {
  await using registry = await FakeRegistry.start();
  using home = new TemporaryHome();
  registry.authentication = { kind: "bearer" };
  registry.addImage("a", { tag: "latest" });
  let blobs = 0;
  registry.intercept = (request) => {
    // The token that was given out stops being valid.
    if (request.url?.includes("/blobs/") && blobs++ === 0) registry.tokens++;
    return false;
  };
  await loggedIn(home, {}).store.pull(`${registry.host}/a`);
  assert.equal(registry.requests.filter(({ url }) => url.startsWith("/token")).length, 2);
});

test("credential helpers are asked, for one registry or for all", async () => {
  await using registry = await FakeRegistry.start();
  using home = new TemporaryHome();
  registry.authentication = { kind: "basic", login: "helped:secret" };
  registry.addImage("a", { tag: "latest" });
  const answer = `read server; [ "$server" = "${registry.host}" ] || exit 3; echo '{"Username":"helped","Secret":"secret"}'`;
  for (const config of [
    { credsStore: "test" },
    { credHelpers: { [registry.host]: "test" }, credsStore: "other" },
  ]) {
    const { store } = loggedIn(home, config);
    helper(home, "test", answer);
    await store.pull(`${registry.host}/a`);
    await store.remove(`${registry.host}/a`);
  }
});

test("a helper that has nothing, is missing, or fails", async () => {
  using home = new TemporaryHome();
  const { environment } = loggedIn(home, {
    credsStore: "none",
    auths: { "example.com": { auth: auth("a:b") } },
  });
  helper(home, "none", "echo 'credentials not found in native keychain'; exit 1");
  const found = await findCredentials("example.com", environment);
  assert.deepEqual(found.credentials, { kind: "password", username: "a", password: "b" });
  loggedIn(home, { credsStore: "missing" });
  assert.match((await findCredentials("example.com", environment)).note ?? "", /docker-credential-missing/);
  loggedIn(home, { credsStore: "broken" });
  helper(home, "broken", "echo 'keychain is locked'; exit 1");
  await assert.rejects(findCredentials("example.com", environment), {
    code: "REGISTRY_AUTH",
    message: /locked/,
  });
  loggedIn(home, { credsStore: "token" });
  helper(home, "token", `echo '{"Username":"<token>","Secret":"t"}'`);
  assert.deepEqual((await findCredentials("x.io", environment)).credentials, {
    kind: "identity-token",
    token: "t",
  });
});

test("Docker Hub's login is found under the address of its first API", async () => {
  using home = new TemporaryHome();
  const { environment } = loggedIn(home, {
    auths: { "https://index.docker.io/v1/": { auth: auth("hub:x") } },
  });
  const { credentials } = await findCredentials("docker.io", environment);
  assert.deepEqual(credentials, { kind: "password", username: "hub", password: "x" });
  assert.deepEqual(await findCredentials("other.io", environment), {});
});

test("a broken config.json is named", async () => {
  using home = new TemporaryHome();
  const { environment } = loggedIn(home, "{ not json");
  await assert.rejects(findCredentials("x.io", environment), {
    code: "INVALID_ARGUMENT",
    message: /config\.json/,
  });
});

test("the login is never sent to a token server without TLS on another machine", async () => {
  await using registry = await FakeRegistry.start();
  using home = new TemporaryHome();
  registry.addImage("a", { tag: "latest" });
  registry.intercept = (_, response) => {
    response.writeHead(401, { "www-authenticate": 'Bearer realm="http://192.0.2.1/token"' }).end();
    return true;
  };
  const { store } = loggedIn(home, { auths: { [registry.host]: { auth: auth("a:b") } } });
  await assert.rejects(store.pull(`${registry.host}/a`), {
    code: "REGISTRY_PROTOCOL",
    message: /token server/,
  });
});
