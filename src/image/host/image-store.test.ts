import assert from "node:assert/strict";
import { chmodSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { test } from "node:test";
import type { ProgressEvent } from "../../progress/progress.ts";
import { ImageStore } from "./image-store.ts";
import { FakeRegistry, hostArchitecture } from "./testing/fake-registry.ts";
import { TemporaryHome } from "./testing/temporary-home.ts";

const timings = {
  connectMs: 2000,
  headersMs: 2000,
  stallMs: 2000,
  documentMs: 4000,
  backoffMs: 5,
  attempts: 4,
};
const environment = { HOME: "/nonexistent", PATH: process.env["PATH"] };

function storeIn(home: TemporaryHome): ImageStore {
  return new ImageStore(home, { environment, timings });
}

test("pull() fetches an image once, and a cached one without any request", async () => {
  await using registry = await FakeRegistry.start();
  using home = new TemporaryHome();
  registry.addImage("a/b", {
    tag: "1",
    layers: [Buffer.from("one"), Buffer.from("two")],
    config: { Env: ["A=b"] },
  });
  const events: ProgressEvent[] = [];
  const image = await storeIn(home).pull(`${registry.host}/a/b:1`, {
    onProgress: (event) => events.push(event),
  });
  assert.equal(image.reference, `${registry.host}/a/b:1`);
  assert.deepEqual(image.config.env, ["A=b"]);
  assert.deepEqual(
    image.layers.map(({ path }) => readFileSync(path, "utf8")),
    ["one", "two"],
  );
  assert.equal(events.filter(({ phase, state }) => phase === "download" && state === "done").length, 2);
  const requests = registry.requests.length;
  assert.equal(requests, 4);
  assert.deepEqual(await storeIn(home).pull(`${registry.host}/a/b:1`), image);
  assert.deepEqual(await storeIn(home).pull(image.manifestDigest.slice(7, 19)), image);
  assert.equal(registry.requests.length, requests);
  assert.deepEqual(await readdir(home.temporary), []);
  assert.deepEqual(await readdir(home.partials), []);
});

test("policy always sends one HEAD for a cached tag and nothing for a digest", async () => {
  await using registry = await FakeRegistry.start();
  using home = new TemporaryHome();
  const { digest } = registry.addImage("a", { tag: "latest" });
  const store = storeIn(home);
  const image = await store.pull(`${registry.host}/a`);
  registry.requests.length = 0;
  await store.pull(`${registry.host}/a`, { policy: "always" });
  assert.deepEqual(registry.paths(), ["HEAD /v2/a/manifests/latest"]);
  await store.pull(`${registry.host}/a@${digest}`, { policy: "always" });
  assert.equal(registry.requests.length, 1);
  registry.addImage("a", { tag: "latest", layers: [Buffer.from("new")] });
  assert.equal((await store.pull(`${registry.host}/a`)).manifestDigest, image.manifestDigest);
  assert.notEqual(
    (await store.pull(`${registry.host}/a`, { policy: "always" })).manifestDigest,
    image.manifestDigest,
  );
});

test("policy never asks no registry", async () => {
  await using registry = await FakeRegistry.start();
  using home = new TemporaryHome();
  registry.addImage("a", { tag: "latest" });
  await assert.rejects(storeIn(home).pull(`${registry.host}/a`, { policy: "never" }), {
    code: "IMAGE_NOT_FOUND",
  });
  assert.equal(registry.requests.length, 0);
});

test("pull() chooses the platform from nested indexes, and lists what there is when none fits", async () => {
  await using registry = await FakeRegistry.start();
  using home = new TemporaryHome();
  const store = storeIn(home);
  const arm = registry.addImage("a", { architecture: "arm64", layers: [Buffer.from("arm")] });
  const intel = registry.addImage("a", { architecture: "amd64", layers: [Buffer.from("intel")] });
  const { platform: _, ...inner } = registry.addIndex("a", { manifests: [arm, intel] });
  registry.addIndex("a", { manifests: [inner], tag: "latest" });
  const name = `${registry.host}/a`;
  assert.equal((await store.pull(name, { platform: "linux/arm64" })).manifestDigest, arm.digest);
  assert.equal((await store.pull(name, { platform: "amd64" })).manifestDigest, intel.digest);
  assert.equal((await store.list()).length, 2);
  await assert.rejects(store.pull(name, { platform: "linux/s390x" }), {
    code: "PLATFORM_MISMATCH",
    hint: "It is there for: linux/amd64, linux/arm64",
  });
});

test("an image without an index must be for the wanted platform, too", async () => {
  await using registry = await FakeRegistry.start();
  using home = new TemporaryHome();
  registry.addImage("a", { tag: "latest", architecture: "riscv64" });
  const pulled = storeIn(home).pull(`${registry.host}/a`);
  await assert.rejects(pulled, { code: "PLATFORM_MISMATCH", hint: "It is there for: linux/riscv64" });
});

test("a truncated layer is noticed and fetched again, an altered one when asked to look", async () => {
  await using registry = await FakeRegistry.start();
  using home = new TemporaryHome();
  const store = storeIn(home);
  registry.addImage("a", { tag: "latest", layers: [Buffer.from("layer one"), Buffer.from("layer two")] });
  const name = `${registry.host}/a`;
  const [first, second] = (await store.pull(name)).layers;
  assert.ok(first && second);
  chmodSync(first.path, 0o600);
  truncateSync(first.path, 3);
  assert.equal((await store.inspect(name)).complete, false);
  await store.pull(name);
  assert.equal(readFileSync(first.path, "utf8"), "layer one");
  chmodSync(second.path, 0o600);
  writeFileSync(second.path, "layer 2!!");
  await store.pull(name, { verify: true });
  assert.equal(readFileSync(second.path, "utf8"), "layer two");
});

test("a damaged manifest or configuration is fetched again", async () => {
  await using registry = await FakeRegistry.start();
  using home = new TemporaryHome();
  const store = storeIn(home);
  registry.addImage("a", { tag: "latest" });
  const image = await store.pull(`${registry.host}/a`);
  for (const digest of [image.manifestDigest, image.configDigest]) {
    const path = `${home.blobs}/sha256/${digest.slice(7)}`;
    const { size } = statSync(path);
    chmodSync(path, 0o600);
    writeFileSync(path, "x".repeat(size));
    assert.deepEqual(await store.pull(`${registry.host}/a`), image);
  }
});

test("list(), inspect() and remove() work by name and by id", async () => {
  await using registry = await FakeRegistry.start();
  using home = new TemporaryHome();
  const store = storeIn(home);
  registry.addImage("a", { tag: "1", layers: [Buffer.from("shared")] });
  registry.addImage("a", { tag: "2", layers: [Buffer.from("shared")] });
  registry.addImage("b", { tag: "latest", layers: [Buffer.from("shared"), Buffer.from("own")] });
  for (const name of ["a:1", "a:2", "b"]) await store.pull(`${registry.host}/${name}`);
  const details = await store.inspect(`${registry.host}/a:1`);
  assert.deepEqual(details.names, [`${registry.host}/a:1`, `${registry.host}/a:2`]);
  assert.equal(details.platform, `linux/${hostArchitecture()}`);
  assert.deepEqual(await store.remove(`${registry.host}/b`), [`${registry.host}/b:latest`]);
  await assert.rejects(store.inspect(`${registry.host}/b`), { code: "IMAGE_NOT_FOUND" });
  assert.equal((await readdir(`${home.blobs}/sha256`)).length, 3);
  const id = details.manifestDigest.slice(7, 17);
  assert.deepEqual(await store.remove(id), [`${registry.host}/a:1`, `${registry.host}/a:2`]);
  assert.deepEqual(await readdir(`${home.blobs}/sha256`), []);
  await assert.rejects(store.remove(id), { code: "IMAGE_NOT_FOUND" });
});

test("prune() forgets images only when asked, and never those to keep", async () => {
  await using registry = await FakeRegistry.start();
  using home = new TemporaryHome();
  const store = storeIn(home);
  for (const name of ["a", "b"]) registry.addImage(name, { tag: "latest", layers: [Buffer.from(name)] });
  const kept = await store.pull(`${registry.host}/a`);
  await store.pull(`${registry.host}/b`);
  assert.deepEqual((await store.prune()).images, []);
  const result = await store.prune({ all: true, keep: [kept.manifestDigest] });
  assert.deepEqual(result.images, [`${registry.host}/b:latest`]);
  assert.equal(result.blobs, 3);
  assert.deepEqual(await store.pull(`${registry.host}/a`, { policy: "never" }), kept);
});

test("prune() leaves a pull under way alone", async () => {
  await using registry = await FakeRegistry.start();
  using home = new TemporaryHome();
  const store = storeIn(home);
  registry.addImage("a", { tag: "latest", layers: [Buffer.from("first"), Buffer.from("second")] });
  let pruned = 0;
  registry.intercept = async (request) => {
    // Between any two steps of the pull.
    await store.prune();
    pruned++;
    return request.url === "/never";
  };
  const image = await store.pull(`${registry.host}/a`);
  assert.equal(pruned, 4);
  await store.prune();
  assert.deepEqual(await store.pull(`${registry.host}/a`, { policy: "never" }), image);
});

test("an unknown image, repository or registry is one clear error", async () => {
  await using registry = await FakeRegistry.start();
  using home = new TemporaryHome();
  const store = storeIn(home);
  const unknown = {
    code: "IMAGE_NOT_FOUND",
    message: `No image '${registry.host}/a:latest' in its registry`,
  };
  await assert.rejects(store.pull(`${registry.host}/a`), unknown);
  await assert.rejects(store.pull("127.0.0.1:1/a"), { code: "REGISTRY_UNAVAILABLE" });
  await assert.rejects(store.pull("sha256:0123456789ab"), { code: "IMAGE_NOT_FOUND" });
  await assert.rejects(store.pull("UPPER"), { code: "INVALID_REFERENCE" });
  assert.deepEqual(await store.list(), []);
});
