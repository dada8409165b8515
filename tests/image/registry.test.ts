import assert from "node:assert/strict";
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { ImageStore } from "../../src/image/host/image-store.ts";
import { sha256 } from "../../src/image/host/testing/fake-registry.ts";
import { TemporaryHome } from "../../src/image/host/testing/temporary-home.ts";
import { testImage } from "../fixtures/images.ts";
import { LoopbackRegistry, SlowRelay } from "./loopback-registry.ts";

const busybox = testImage("busybox");
const scratch = mkdtempSync(join(tmpdir(), "supermachine-pull-"));
after(() => rmSync(scratch, { recursive: true }));

const environment = { HOME: "/nonexistent", PATH: process.env["PATH"] };
const puller = join(import.meta.dirname, "pull.process.js");

function run(command: string, ...args: readonly string[]): string {
  return execFileSync(command, args, { encoding: "utf8", cwd: scratch, timeout: 60_000 });
}

function push(source: string, target: string, ...options: readonly string[]): void {
  run("skopeo", "copy", "-q", "--dest-tls-verify=false", ...options, source, `docker://${target}`);
}

/** An image with a layer that does not compress, of this many bytes. */
function bigImage(length: number): string {
  const layout = join(scratch, `big-${length}`);
  const bundle = join(scratch, `bundle-${length}`);
  run("skopeo", "copy", "-q", busybox.layout, `oci:${layout}:latest`);
  run("umoci", "unpack", "--image", `${layout}:latest`, bundle);
  writeFileSync(join(bundle, "rootfs", "big"), randomBytes(length));
  run("umoci", "repack", "--image", `${layout}:latest`, bundle);
  return `oci:${layout}:latest`;
}

async function partialLength(home: TemporaryHome): Promise<number> {
  const names = await readdir(home.partials).catch(() => []);
  return Math.max(0, ...names.map((name) => statSync(join(home.partials, name)).size));
}

function assertWhole(layers: readonly { path: string; digest: string }[]): void {
  for (const { path, digest } of layers) assert.equal(sha256(readFileSync(path)), digest);
}

test("an image is pulled from a real registry, in OCI's and in Docker's format", async () => {
  await using registry = await LoopbackRegistry.start();
  using home = new TemporaryHome();
  const images = new ImageStore(home, { environment });
  for (const format of ["oci", "v2s2"]) {
    const name = `${registry.host}/library/busybox:${format}`;
    push(busybox.layout, name, "--format", format);
    const image = await images.pull(name);
    const judged = JSON.parse(run("skopeo", "inspect", "--tls-verify=false", `docker://${name}`));
    assert.equal(image.manifestDigest, judged.Digest);
    assert.deepEqual(
      image.layers.map(({ digest }) => digest),
      judged.Layers,
    );
    assertWhole(image.layers);
    const byDigest = await images.pull(`${registry.host}/library/busybox@${image.manifestDigest}`);
    assert.equal(byDigest.manifestDigest, image.manifestDigest);
  }
  const name = `${registry.host}/library/busybox`;
  await assert.rejects(images.pull(`${name}:nope`), { code: "IMAGE_NOT_FOUND" });
  await assert.rejects(images.pull(`${registry.host}/nope`), { code: "IMAGE_NOT_FOUND" });
  await assert.rejects(images.pull(`${name}:oci`, { platform: "linux/s390x" }), {
    code: "PLATFORM_MISMATCH",
  });
  await images.pull(`${name}:oci`, { policy: "always" });
});

test("zstd layers are pulled, too", async () => {
  await using registry = await LoopbackRegistry.start();
  using home = new TemporaryHome();
  const name = `${registry.host}/zstd`;
  push(busybox.layout, name, "--dest-compress", "--dest-compress-format", "zstd", "--format", "oci");
  const image = await new ImageStore(home, { environment }).pull(name);
  assert.deepEqual([...new Set(image.layers.map(({ compression }) => compression))], ["zstd"]);
});

test("a registry with basic authentication lets in who has logged in", async () => {
  const htpasswd = run("htpasswd", "-Bbn", "user", "secret");
  await using registry = await LoopbackRegistry.start({ htpasswd });
  const name = `${registry.host}/private/image`;
  push(busybox.layout, name, "--dest-creds", "user:secret");
  for (const [login, allowed] of [
    ["user:secret", true],
    ["user:wrong", false],
    [undefined, false],
  ] as const) {
    using home = new TemporaryHome();
    const folder = join(home.root, "docker");
    mkdirSync(folder);
    const auths =
      login === undefined ? {} : { [registry.host]: { auth: Buffer.from(login).toString("base64") } };
    writeFileSync(join(folder, "config.json"), JSON.stringify({ auths }));
    const pulled = new ImageStore(home, { environment: { DOCKER_CONFIG: folder } }).pull(name);
    if (allowed) assertWhole((await pulled).layers);
    else
      await assert.rejects(pulled, {
        code: "REGISTRY_AUTH",
        hint: new RegExp(`docker login ${registry.host}`),
      });
  }
});

test("two processes that pull one image at once both get it, and the layers come once", async () => {
  await using registry = await LoopbackRegistry.start();
  using relay = await SlowRelay.start(registry.host, 4_000_000);
  using home = new TemporaryHome();
  push(bigImage(4_000_000), `${registry.host}/big`);
  const pulls = [1, 2].map(() =>
    promisify(execFile)(process.execPath, [puller, home.root, `${relay.host}/big`]),
  );
  const [first, second] = await Promise.all(pulls);
  assert.equal(first?.stdout, second?.stdout);
  const image = await new ImageStore(home, { environment }).pull(`${relay.host}/big`, {
    policy: "never",
    verify: true,
  });
  assertWhole(image.layers);
  assert.ok(relay.bytes < 8_000_000, `${relay.bytes} bytes came for a layer of 4,000,000`);
  assert.deepEqual(await readdir(home.temporary), []);
  assert.deepEqual(await readdir(home.partials), []);
});

test("after a kill -9 in the middle of a pull, the next one goes on where it was", {
  timeout: 60_000,
}, async () => {
  await using registry = await LoopbackRegistry.start();
  using relay = await SlowRelay.start(registry.host, 2_000_000);
  using home = new TemporaryHome();
  push(bigImage(8_000_000), `${registry.host}/big`);
  const child: ChildProcess = spawn(process.execPath, [puller, home.root, `${relay.host}/big`], {
    stdio: "ignore",
  });
  while ((await partialLength(home)) < 2_500_000 && child.exitCode === null) await sleep(20);
  assert.equal(child.exitCode, null, "the pull was too fast to be killed");
  child.kill("SIGKILL");
  await new Promise((resolve) => child.once("exit", resolve));
  const left = await partialLength(home);
  // More than the small layer has, so it is the big one's.
  assert.ok(left >= 2_500_000);
  const images = new ImageStore(home, { environment });
  assert.deepEqual(await images.list(), []);
  let start: number | undefined;
  const image = await images.pull(`${relay.host}/big`, {
    onProgress: ({ phase, state, done = 0, total = 0 }) => {
      if (phase === "download" && state === "active" && total > 8_000_000 && done > 0) start ??= done;
    },
  });
  assert.ok((start ?? 0) >= left, `started at ${start} although ${left} bytes were there`);
  assertWhole(image.layers);
  assert.deepEqual(await readdir(home.temporary), [], "what the killed process left is gone");
  assert.deepEqual(await readdir(home.partials), []);
});
