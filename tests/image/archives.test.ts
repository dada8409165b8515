import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createReadStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { ImageStore } from "../../src/image/host/image-store.ts";
import { TemporaryHome } from "../../src/image/host/testing/temporary-home.ts";
import { testImage } from "../fixtures/images.ts";

const busybox = testImage("busybox");
const scratch = mkdtempSync(join(tmpdir(), "supermachine-archives-"));
after(() => rmSync(scratch, { recursive: true }));

function run(command: string, ...args: readonly string[]): string {
  return execFileSync(command, args, { encoding: "utf8", cwd: scratch, maxBuffer: 1 << 28, timeout: 60_000 });
}

/** What skopeo says about the same image. */
function judge(source: string): { config: { Cmd: string[]; Env: string[] }; rootfs: { diff_ids: string[] } } {
  return JSON.parse(run("skopeo", "inspect", "--config", "--raw", source));
}

test("a folder in OCI layout and its archive are the same image, as skopeo sees it", async () => {
  using home = new TemporaryHome();
  const images = new ImageStore(home);
  const image = await images.pull(busybox.layout);
  assert.match(image.reference, /^localhost\/busybox:latest$/);
  const expected = judge(busybox.layout);
  assert.deepEqual(image.config.cmd, expected.config.Cmd);
  assert.deepEqual(image.config.env, expected.config.Env);
  assert.deepEqual(
    image.layers.map(({ diffId }) => diffId),
    expected.rootfs.diff_ids,
  );
  const archived = await images.pull(`oci-archive:${busybox.ociArchive}`);
  assert.equal(archived.manifestDigest, image.manifestDigest);
  assert.deepEqual(await images.pull(image.reference, { policy: "never" }), image);
});

test("docker-archive gives the same root file system, by tag and without", async () => {
  using home = new TemporaryHome();
  const images = new ImageStore(home);
  const plain = await images.pull(`docker-archive:${busybox.dockerArchive}`);
  assert.equal(plain.reference, "docker.io/library/busybox:latest");
  const expected = judge(busybox.layout);
  assert.deepEqual(
    plain.layers.map(({ diffId }) => diffId),
    expected.rootfs.diff_ids,
  );
  const tagged = await images.pull(`docker-archive:${busybox.dockerArchive}:busybox`);
  assert.equal(tagged.manifestDigest, plain.manifestDigest);
  assert.equal((await images.pull("busybox", { policy: "never" })).manifestDigest, plain.manifestDigest);
  await assert.rejects(images.pull(`docker-archive:${busybox.dockerArchive}:nope`), {
    code: "IMAGE_NOT_FOUND",
    hint: "It holds: docker.io/library/busybox:latest",
  });
});

test("standard input takes either kind of archive, also compressed", async () => {
  for (const archive of [busybox.ociArchive, busybox.dockerArchive]) {
    const gzipped = join(scratch, "image.tar.gz");
    const zstd = join(scratch, "image.tar.zst");
    writeFileSync(gzipped, execFileSync("gzip", ["-1c", archive], { maxBuffer: 1 << 28 }));
    run("zstd", "-q", "-f", archive, "-o", zstd);
    const digests = new Set<string>();
    for (const file of [archive, gzipped, zstd]) {
      using home = new TemporaryHome();
      const image = await new ImageStore(home).pull("-", { stdin: createReadStream(file) });
      digests.add(image.manifestDigest);
      assert.deepEqual(await readdir(home.temporary), [], "spooled copies are gone");
    }
    assert.equal(digests.size, 1, archive);
  }
});

test("a docker-archive with compressed layers and links between layers is read", async () => {
  const folder = join(scratch, "linked");
  run("mkdir", "-p", join(folder, "one"), join(folder, "two"), join(folder, "tree"));
  writeFileSync(join(folder, "tree", "file"), "content");
  run("tar", "-C", join(folder, "tree"), "-cf", join(folder, "one", "layer.tar"), ".");
  const diffId = `sha256:${run("sha256sum", join(folder, "one", "layer.tar")).slice(0, 64)}`;
  run("ln", "-s", "../one/layer.tar", join(folder, "two", "layer.tar"));
  writeFileSync(join(folder, "gz.tar"), execFileSync("gzip", ["-c", join(folder, "one", "layer.tar")]));
  const config = { os: "linux", rootfs: { type: "layers", diff_ids: [diffId, diffId, diffId] } };
  const architecture = process.arch === "x64" ? "amd64" : process.arch;
  writeFileSync(join(folder, "config.json"), JSON.stringify({ ...config, architecture }));
  const layers = ["one/layer.tar", "two/layer.tar", "gz.tar"];
  writeFileSync(
    join(folder, "manifest.json"),
    JSON.stringify([{ Config: "config.json", RepoTags: null, Layers: layers }]),
  );
  run(
    "tar",
    "-C",
    folder,
    "-cf",
    join(scratch, "linked.tar"),
    "one",
    "two",
    "gz.tar",
    "config.json",
    "manifest.json",
  );
  using home = new TemporaryHome();
  const image = await new ImageStore(home).pull(`docker-archive:${join(scratch, "linked.tar")}`);
  assert.equal(image.reference, "localhost/linked:latest");
  assert.deepEqual(
    image.layers.map(({ compression }) => compression),
    ["none", "none", "gzip"],
  );
  assert.equal(image.layers[0]?.digest, diffId);
  assert.equal(image.layers[1]?.digest, diffId);
});

test("several images in one layout must be told apart by name", async () => {
  const layout = join(scratch, "several");
  run("skopeo", "copy", "-q", busybox.layout, `oci:${layout}:one`);
  run("umoci", "config", "--image", `${layout}:one`, "--tag", "two", "--config.cmd", "other");
  using home = new TemporaryHome();
  const images = new ImageStore(home);
  await assert.rejects(images.pull(`oci:${layout}`), {
    code: "INVALID_REFERENCE",
    hint: "Name one after a colon: one, two",
  });
  assert.deepEqual((await images.pull(`oci:${layout}:two`)).config.cmd, ["other"]);
  await assert.rejects(images.pull(`oci:${layout}:three`), {
    code: "IMAGE_NOT_FOUND",
    hint: "It holds: one, two",
  });
});

test("a damaged archive is refused, the entry is named and nothing stays", async () => {
  using home = new TemporaryHome();
  const images = new ImageStore(home);
  const bytes = readFileSync(busybox.ociArchive);
  const cut = join(scratch, "cut.tar");
  writeFileSync(cut, bytes.subarray(0, bytes.length / 2));
  await assert.rejects(images.pull(`oci-archive:${cut}`), {
    code: "ARCHIVE_INVALID",
    message: /'.*cut.tar'.*blobs\/sha256/,
  });
  const layout = join(scratch, "flipped");
  run("cp", "-r", busybox.layout.slice(4, -":latest".length), layout);
  const [largest = ""] = run("ls", "-S", join(layout, "blobs", "sha256")).split("\n");
  const path = join(layout, "blobs", "sha256", largest);
  const blob = readFileSync(path);
  blob[1000] = (blob[1000] ?? 0) ^ 1;
  writeFileSync(path, blob);
  await assert.rejects(images.pull(`oci:${layout}`), { code: "DIGEST_MISMATCH" });
  rmSync(path);
  await assert.rejects(images.pull(`oci:${layout}`), {
    code: "ARCHIVE_INVALID",
    message: new RegExp(largest),
  });
  writeFileSync(cut, "no tar at all");
  await assert.rejects(images.pull(`docker-archive:${cut}`), { code: "ARCHIVE_INVALID" });
  await assert.rejects(images.pull(`docker-archive:${scratch}`), { code: "ARCHIVE_INVALID", hint: /oci:/ });
  await assert.rejects(images.pull(`oci-archive:${scratch}/nope`), { code: "IMAGE_NOT_FOUND" });
  assert.deepEqual(await images.list(), []);
  assert.deepEqual(await readdir(home.temporary), []);
});

test("import() makes the same image from a plain and a compressed root file system, and run finds it by name", async () => {
  run("mkdir", "-p", "root/bin");
  run("cp", "/bin/busybox", "root/bin/sh");
  run("tar", "-C", "root", "-cf", "root.tar", ".");
  run("zstd", "-q", "-f", "root.tar", "-o", "root.tar.zst");
  using home = new TemporaryHome();
  const images = new ImageStore(home);
  const config = { cmd: ["/bin/sh"], env: ["A=1"], workingDir: "/bin" };
  const image = await images.import(join(scratch, "root.tar"), "mine:1", { config });
  const packed = await images.import("-", "mine:2", {
    config,
    stdin: createReadStream(join(scratch, "root.tar.zst")),
  });
  assert.equal(image.layers[0]?.diffId, packed.layers[0]?.diffId);
  assert.equal(packed.layers[0]?.compression, "zstd");
  assert.deepEqual(image.config.env, ["A=1"]);
  assert.equal((await images.pull("mine:1")).manifestDigest, image.manifestDigest);
  assert.equal(
    (await images.import(join(scratch, "root.tar"), "again", { config })).manifestDigest,
    image.manifestDigest,
  );
  writeFileSync(join(scratch, "no.tar"), "x".repeat(2000));
  await assert.rejects(images.import(join(scratch, "no.tar"), "x"), { code: "ARCHIVE_INVALID" });
  await assert.rejects(images.import(join(scratch, "root.tar"), `x@${image.manifestDigest}`), {
    code: "INVALID_REFERENCE",
  });
});
