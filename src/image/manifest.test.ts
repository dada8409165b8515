import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { parseImageConfig } from "./config.ts";
import { parseManifest } from "./manifest.ts";
import { layerCompression, ociConfig, ociIndex, ociLayer, ociManifest } from "./media-types.ts";
import type { Origin } from "./origin.ts";

const origin: Origin = { invalid: "REGISTRY_PROTOCOL", name: "x" };
const digest = `sha256:${"a".repeat(64)}`;
const config = { mediaType: ociConfig, digest, size: 2 };
const layer = { mediaType: ociLayer, digest, size: 3 };

function bytes(value: unknown): Uint8Array {
  return new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));
}

test("parseManifest() reads manifests and indexes, and ignores what it does not know", () => {
  const manifest = parseManifest(bytes({ schemaVersion: 2, config, layers: [layer], future: [1] }), {
    origin,
  });
  assert.equal(manifest.kind === "manifest" && manifest.layers[0]?.size, 3);
  const platform = { os: "linux", architecture: "amd64", "os.version": "1" };
  const entries = [{ mediaType: ociManifest, digest, size: 4, platform }];
  const index = parseManifest(bytes({ schemaVersion: 2, mediaType: ociIndex, manifests: entries }), {
    origin,
  });
  assert.deepEqual(index.kind === "index" && index.manifests[0]?.platform, {
    os: "linux",
    architecture: "amd64",
  });
});

test("parseManifest() refuses malformed documents with the code of their origin", () => {
  const bad: unknown[] = [
    "",
    "{",
    "null",
    "[]",
    bytes("\xff"),
    { schemaVersion: 2 },
    { config, layers: [layer] },
  ];
  bad.push({ schemaVersion: 2, config, layers: [layer], manifests: [] });
  bad.push({ schemaVersion: 2, mediaType: ociIndex, config, layers: [layer] });
  bad.push({ schemaVersion: 2, config, layers: [{ ...layer, size: -1 }] });
  bad.push({ schemaVersion: 2, config, layers: [{ ...layer, size: 1.5 }] });
  bad.push({ schemaVersion: 2, config, layers: [{ ...layer, digest: "sha256:../../etc" }] });
  bad.push({ schemaVersion: 2, config, layers: Array(513).fill(layer) });
  bad.push({ schemaVersion: 2, config, layers: "x" });
  for (const value of bad) {
    const input = value instanceof Uint8Array ? value : bytes(value);
    assert.throws(
      () => parseManifest(input, { origin }),
      { code: "REGISTRY_PROTOCOL" },
      JSON.stringify(value),
    );
  }
  assert.throws(() => parseManifest(new Uint8Array(4 * 1024 * 1024 + 1), { origin }), {
    code: "REGISTRY_PROTOCOL",
  });
  const archive: Origin = { invalid: "ARCHIVE_INVALID", name: "x.tar" };
  assert.throws(() => parseManifest(bytes("{"), { origin: archive }), { code: "ARCHIVE_INVALID" });
});

test("parseManifest() names schema 1, foreign artifacts and unreadable layers", () => {
  const unsupported: [unknown, RegExp][] = [
    [{ schemaVersion: 1, fsLayers: [] }, /schema 1/],
    [
      {
        schemaVersion: 2,
        config: { ...config, mediaType: "application/vnd.cncf.helm.config.v1+json" },
        layers: [],
      },
      /not a/,
    ],
    [
      { schemaVersion: 2, config, layers: [{ ...layer, mediaType: `${ociLayer}+gzip+encrypted` }] },
      /encrypted/,
    ],
    [
      {
        schemaVersion: 2,
        config,
        layers: [{ ...layer, mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" }],
      },
      /distributed/,
    ],
  ];
  for (const [value, message] of unsupported)
    assert.throws(() => parseManifest(bytes(value), { origin }), { code: "UNSUPPORTED_MEDIA", message });
});

test("layerCompression() covers the media types of OCI and Docker", () => {
  const docker = "application/vnd.docker.image.rootfs.diff.tar.gzip";
  assert.deepEqual([ociLayer, `${ociLayer}+gzip`, `${ociLayer}+zstd`, docker].map(layerCompression), [
    "none",
    "gzip",
    "zstd",
    "gzip",
  ]);
});

test("parseImageConfig() fills in what is absent and takes null for absent", () => {
  const rootfs = { type: "layers", diff_ids: [digest] };
  const full = parseImageConfig(
    bytes({
      os: "linux",
      architecture: "arm64",
      variant: "v8",
      rootfs,
      config: {
        Env: ["A=1"],
        Cmd: "sh",
        Entrypoint: null,
        Volumes: { "/data": {} },
        User: "1:2",
        Labels: { a: "b" },
      },
    }),
    origin,
  );
  assert.deepEqual(full.platform, { os: "linux", architecture: "arm64", variant: "v8" });
  assert.deepEqual([full.config.cmd, full.config.entrypoint, full.config.volumes], [["sh"], [], ["/data"]]);
  const empty = parseImageConfig(bytes({ rootfs, config: null }), origin);
  assert.deepEqual(
    [empty.config.env, empty.config.workingDir, empty.platform.architecture],
    [[], "", "amd64"],
  );
  for (const value of [{}, { rootfs: { diff_ids: ["x"] } }, { rootfs, config: { Env: ["A=\0"] } }])
    assert.throws(() => parseImageConfig(bytes(value), origin), { code: "REGISTRY_PROTOCOL" });
});

test("no document makes the parsers fail in any other way", () => {
  const documents = fc.oneof(
    fc.json(),
    fc
      .record({ schemaVersion: fc.constant(2), config: fc.jsonValue(), layers: fc.jsonValue() })
      .map((value) => JSON.stringify(value)),
    fc.string(),
  );
  fc.assert(
    fc.property(documents, (text) => {
      for (const parse of [
        () => parseManifest(bytes(text), { origin }),
        () => parseImageConfig(bytes(text), origin),
      ])
        try {
          parse();
        } catch (error) {
          assert.ok(error instanceof SupermachineError && error.code !== "INTERNAL");
        }
    }),
  );
});
