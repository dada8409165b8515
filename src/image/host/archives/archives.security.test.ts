import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { SupermachineError } from "../../../errors/supermachine-error.ts";
import { ImageStore } from "../image-store.ts";
import { hostArchitecture, sha256 } from "../testing/fake-registry.ts";
import { tarOf } from "../testing/tar-of.ts";
import { TemporaryHome } from "../testing/temporary-home.ts";

const layer = Buffer.from("layer");
const rootfs = { type: "layers", diff_ids: [sha256(layer)] };
const config = JSON.stringify({ os: "linux", architecture: hostArchitecture(), rootfs });

/** A Docker archive as `docker save` would make it, with parts replaced. */
function dockerArchive(
  parts: { Config?: unknown; Layers?: unknown; files?: Parameters<typeof tarOf>[0] } = {},
): Buffer {
  const image = {
    Config: parts.Config ?? "config.json",
    Layers: parts.Layers ?? ["layer.tar"],
    RepoTags: ["x:1"],
  };
  return tarOf([
    { path: "manifest.json", content: JSON.stringify([image]) },
    { path: "config.json", content: config },
    { path: "layer.tar", content: layer },
    ...(parts.files ?? []),
  ]);
}

/** Pulls the bytes as an archive on standard input; nothing but whole blobs may stay. */
async function pull(bytes: Uint8Array): Promise<string> {
  using home = new TemporaryHome();
  async function* stdin(): AsyncGenerator<Uint8Array> {
    yield bytes;
  }
  try {
    return (await new ImageStore(home).pull("-", { stdin: stdin() })).reference;
  } finally {
    assert.deepEqual(await readdir(home.temporary).catch(() => []), []);
  }
}

test("the archive that the others are made from is good", async () => {
  assert.equal(await pull(dockerArchive()), "docker.io/library/x:1");
});

test("paths that lead out of an archive find nothing there", async () => {
  for (const Config of ["/etc/passwd", "../../../../etc/passwd", "missing"])
    await assert.rejects(pull(dockerArchive({ Config })), { code: "ARCHIVE_INVALID", message: /is missing/ });
  const link = { path: "link", type: "2", target: "/etc/passwd" } as const;
  await assert.rejects(pull(dockerArchive({ Config: "link", files: [link] })), { code: "ARCHIVE_INVALID" });
});

test("links that go round in circles are refused, those that lead to a file are followed", async () => {
  const loop = [
    { path: "a", type: "2", target: "b" },
    { path: "b", type: "2", target: "./a" },
  ] as const;
  await assert.rejects(pull(dockerArchive({ Layers: ["a"], files: loop })), {
    code: "ARCHIVE_INVALID",
    message: /loop/,
  });
  const good = [
    { path: "d/link", type: "2", target: "../hard" },
    { path: "hard", type: "1", target: "layer.tar" },
  ] as const;
  assert.equal(await pull(dockerArchive({ Layers: ["d/link"], files: good })), "docker.io/library/x:1");
});

test("a manifest.json of any other shape is refused", async () => {
  const shapes: unknown[] = [
    {},
    [],
    [{}],
    [{ Config: 1, Layers: [] }],
    [{ Config: "config.json", Layers: Array(600).fill("layer.tar") }],
  ];
  for (const shape of shapes) {
    const bytes = tarOf([
      { path: "manifest.json", content: JSON.stringify(shape) },
      { path: "config.json", content: config },
    ]);
    await assert.rejects(pull(bytes), { code: "ARCHIVE_INVALID" }, JSON.stringify(shape).slice(0, 50));
  }
  await assert.rejects(pull(tarOf([])), { code: "ARCHIVE_INVALID", message: /neither/ });
});

test("a layer that is not what the configuration says is refused", async () => {
  const files = [{ path: "other.tar", content: "other" }];
  await assert.rejects(pull(dockerArchive({ Layers: ["other.tar"], files })), { code: "DIGEST_MISMATCH" });
});

test("names in an OCI layout can not reach outside the folder of images", async () => {
  using home = new TemporaryHome();
  const layout = join(home.root, "layout");
  mkdirSync(layout);
  const digest = "sha256:../../../../../../etc/passwd";
  const entry = { mediaType: "application/vnd.oci.image.manifest.v1+json", digest, size: 1 };
  writeFileSync(join(layout, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [entry] }));
  await assert.rejects(new ImageStore(home).pull(`oci:${layout}`), { code: "ARCHIVE_INVALID" });
});

test("no damage makes reading an archive fail in any other way", async () => {
  const good = dockerArchive();
  const zipped = gzipSync(good);
  const damage = fc.record({
    packed: fc.boolean(),
    at: fc.nat({ max: good.length }),
    value: fc.nat({ max: 255 }),
    keep: fc.nat({ max: good.length }),
    cut: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(damage, async ({ packed, at, value, keep, cut }) => {
      const bytes = Buffer.from(packed ? zipped : good);
      bytes[at % bytes.length] = value;
      try {
        await pull(cut ? bytes.subarray(0, keep % bytes.length) : bytes);
      } catch (error) {
        assert.ok(error instanceof SupermachineError, String(error));
        assert.notEqual(error.code, "INTERNAL");
      }
    }),
    { numRuns: 120 },
  );
});
