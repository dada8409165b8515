// Every way in which an image can come, run for real; registries are Debian's own on loopback.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { createReadStream, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { testImage } from "../fixtures/images.ts";
import { finished, TestHome } from "./cli.ts";

describe("images", () => {
  let home: TestHome;
  let scratch: string;
  before(() => {
    home = new TestHome();
    scratch = mkdtempSync(join(tmpdir(), "supermachine-images-"));
  });
  after(async () => {
    await home[Symbol.asyncDispose]();
    rmSync(scratch, { recursive: true, force: true });
  });

  const echo = async (source: string): Promise<void> => {
    const result = await home.run(["run", source, "echo", "it runs"]);
    assert.equal(result.stdout, "it runs\n", result.stderr);
  };

  test("an OCI layout", () => echo(testImage("busybox").layout));
  test("an OCI archive", () => echo(`oci-archive:${testImage("busybox").ociArchive}`));
  test("a docker archive", () => echo(`docker-archive:${testImage("busybox").dockerArchive}`));

  test("an archive on standard input", async () => {
    const child = home.start(["run", "-", "echo", "it runs"]);
    createReadStream(testImage("busybox").dockerArchive).pipe(child.stdin as NodeJS.WritableStream);
    const result = await finished(child);
    assert.equal(result.stdout, "it runs\n", result.stderr);
  });

  test("an imported root tar", async () => {
    const tree = join(scratch, "tree");
    mkdirSync(join(tree, "bin"), { recursive: true });
    execFileSync("cp", ["/bin/busybox", join(tree, "bin", "sh")]);
    execFileSync("tar", ["-C", tree, "-cf", join(scratch, "root.tar"), "."]);
    const imported = await home.run(["import", join(scratch, "root.tar"), "tiny:1"]);
    assert.equal(imported.code, 0, imported.stderr);
    const result = await home.run(["run", "tiny:1", "/bin/sh", "-c", "echo $0; cd /; echo *"]);
    assert.match(result.stdout, /^\/bin\/sh\n.*bin/, result.stderr);
  });

  test("Debian with python3, from its docker archive", async () => {
    const program =
      "import json, sqlite3, ssl, sys; print(json.dumps({'v': sys.version_info[0], 'sum': sum(range(100))}))";
    const result = await home.run([
      "run",
      `docker-archive:${testImage("python").dockerArchive}`,
      "python3",
      "-c",
      program,
    ]);
    assert.deepEqual(JSON.parse(result.stdout || "null"), { v: 3, sum: 4950 }, result.stderr);
  });

  test("images, inspect, rmi and prune tell the truth", async () => {
    const list = JSON.parse((await home.run(["images", "--json"])).stdout);
    assert.ok(
      list.some((image: { reference: string }) => image.reference.includes("tiny")),
      JSON.stringify(list),
    );
    const details = JSON.parse((await home.run(["inspect", "tiny:1"])).stdout);
    assert.ok(JSON.stringify(details).includes("sha256:"));
    const blobs = (): number => readdirSync(join(home.path, "blobs", "sha256")).length;
    const before = blobs();
    assert.equal((await home.run(["rmi", "tiny:1"])).code, 0);
    assert.equal((await home.run(["run", "--pull", "never", "tiny:1", "true"])).code, 125);
    assert.equal((await home.run(["prune"])).code, 0);
    assert.ok(blobs() < before, `${blobs()} blobs after, ${before} before`);
  });

  for (const password of [undefined, "secret"])
    test(`a registry ${password === undefined ? "open to all" : "with a password"}`, async () => {
      await using registry = await startRegistry(scratch, password);
      const name = `127.0.0.1:${registry.port}/team/busybox:v1`;
      const credentials = password === undefined ? [] : ["--dest-creds", `user:${password}`];
      const copy = [
        "copy",
        "-q",
        "--dest-tls-verify=false",
        ...credentials,
        testImage("busybox").layout,
        `docker://${name}`,
      ];
      execFileSync("skopeo", copy, { stdio: "pipe" });
      const config = join(scratch, `docker-${registry.port}`);
      mkdirSync(config);
      const env = { DOCKER_CONFIG: config };
      if (password !== undefined) {
        const refused = await home.run(["run", name, "true"], { env });
        assert.equal(refused.code, 125);
        assert.match(refused.stderr, /401|credential|login|auth/i);
        const auth = Buffer.from(`user:${password}`).toString("base64");
        const auths = { [`127.0.0.1:${registry.port}`]: { auth } };
        writeFileSync(join(config, "config.json"), JSON.stringify({ auths }));
      }
      const result = await home.run(["run", name, "echo", "pulled"], { env });
      assert.equal(result.stdout, "pulled\n", result.stderr);
      const requests = registry.requests();
      const again = await home.run(["run", name, "echo", "cached"], { env });
      assert.equal(again.stdout, "cached\n", again.stderr);
      const made = registry.requests().slice(requests.length);
      assert.deepEqual(
        made.filter((line) => /"GET .*(manifests|blobs)/.test(line)),
        [],
        made.join("\n"),
      );
    });

  test("bad images are refused in one clear line", async () => {
    writeFileSync(join(scratch, "garbage.tar"), "this is no archive".repeat(1000));
    const cases: [string, RegExp][] = [
      [`docker-archive:${join(scratch, "none.tar")}`, /none\.tar/],
      [`docker-archive:${join(scratch, "garbage.tar")}`, /garbage\.tar/],
      [`oci:${join(scratch, "no-layout")}`, /no-layout/],
      ["UPPER/Case", /UPPER\/Case/],
      ["127.0.0.1:1/none:x", /127\.0\.0\.1:1/],
      [`${testImage("busybox").layout}-other`, /latest-other/],
    ];
    for (const [source, pattern] of cases) {
      const result = await home.run(["run", source, "true"]);
      assert.equal(result.code, 125, source);
      assert.match(result.stderr, pattern);
      assert.doesNotMatch(result.stderr, /\n\s+at |Error:/);
    }
    const wrong = await home.run(["run", "--platform", "linux/s390x", testImage("busybox").layout, "true"]);
    assert.equal(wrong.code, 125);
    assert.match(wrong.stderr, /s390x/);
    assert.deepEqual(readdirSync(join(home.path, "tmp")), []);
  });
});

interface Registry extends AsyncDisposable {
  readonly port: number;
  /** Lines of the access log so far. */
  requests(): string[];
}

/** Debian's docker-registry on a free loopback port. */
async function startRegistry(scratch: string, password: string | undefined): Promise<Registry> {
  const port = await freePort();
  const folder = join(scratch, `registry-${port}`);
  mkdirSync(folder);
  const lines = ["version: 0.1", "log: { level: info, accesslog: { disabled: false } }"];
  lines.push(
    `storage: { filesystem: { rootdirectory: ${folder}/data } }`,
    `http: { addr: "127.0.0.1:${port}" }`,
  );
  if (password !== undefined) {
    writeFileSync(join(folder, "htpasswd"), execFileSync("htpasswd", ["-Bbn", "user", password]));
    lines.push(`auth: { htpasswd: { realm: test, path: ${folder}/htpasswd } }`);
  }
  writeFileSync(join(folder, "config.yml"), `${lines.join("\n")}\n`);
  const child = spawn("docker-registry", ["serve", join(folder, "config.yml")], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (bytes: Buffer) => {
      log += bytes.toString();
    });
  for (let tries = 0; tries < 100; tries++) {
    const up = await fetch(`http://127.0.0.1:${port}/v2/`).then(
      () => true,
      () => false,
    );
    if (up) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return {
    port,
    requests: () => log.split("\n").filter((line) => /"(GET|HEAD) /.test(line)),
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => child.on("close", resolve));
      child.kill("SIGKILL");
      await closed;
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.on("listening", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
