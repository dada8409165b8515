import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { type TestContext, test } from "node:test";
import { gzipSync } from "node:zlib";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import type { LocalImage, LocalLayer } from "../../image/image.ts";
import type { ProgressEvent } from "../../progress/progress.ts";
import { Home } from "../../storage/home.ts";
import { FileSource } from "../../tar/host/file-source.ts";
import { concat, member, tarOf } from "../../tar/testing/tar-builder.ts";
import { describeTree } from "../erofs/testing/describe-tree.ts";
import { readErofs } from "../erofs/testing/read-erofs.ts";
import { prepareRootfs } from "./prepare-rootfs.ts";
import { rootfsKey } from "./rootfs-key.ts";
import { digestOf, imageOf, storeBlob, storeLayer } from "./testing/local-layer.ts";
import { unpackLayer } from "./unpack-layer.ts";

const lower = tarOf(
  member({ name: "etc/", typeflag: "5", mode: 0o755 }),
  member({ name: "etc/a", data: "lower" }),
);
const upper = tarOf(member({ name: "etc/.wh.a" }), member({ name: "etc/b", data: "x".repeat(200_000) }));

test("prepareRootfs() gives the same bytes whatever the layers are compressed with", async (t) => {
  const images: Buffer[] = [];
  for (const compression of ["none", "gzip", "zstd"] as const) {
    const { home, blobs } = homeFor(t);
    const image = imageOf(storeLayer(blobs, lower, compression), storeLayer(blobs, upper, compression));
    const { path: erofs, key, cached } = await prepareRootfs(image, { home });
    assert.deepEqual([path.basename(erofs), cached], [`${key}.erofs`, false]);
    assert.deepEqual(fs.readdirSync(home.temporary), []);
    images.push(fs.readFileSync(erofs));
    using source = new FileSource(erofs);
    const names = describeTree(readErofs(source)).map((line) => line.split(" ")[0]);
    assert.deepEqual(names, ['"/"', '"/etc"', '"/etc/b"']);
  }
  assert.ok(images.every((bytes) => bytes.equals(images[0] ?? Buffer.alloc(0))));
});

test("prepareRootfs() finds its work again without reading a layer", async (t) => {
  const { home, blobs } = homeFor(t);
  const image = imageOf(storeLayer(blobs, lower, "gzip"));
  const first = await prepareRootfs(image, { home });
  fs.rmSync(blobs, { recursive: true });
  const events: ProgressEvent[] = [];
  const again = await prepareRootfs(image, { home, onProgress: (event) => events.push(event) });
  assert.deepEqual(again, { ...first, cached: true });
  assert.deepEqual(events, [{ phase: "convert", id: "", state: "cached" }]);
});

test("prepareRootfs() reports unpacking per layer and then the conversion", async (t) => {
  const { home, blobs } = homeFor(t);
  const image = imageOf(storeLayer(blobs, lower, "gzip"), storeLayer(blobs, upper));
  const events: ProgressEvent[] = [];
  await prepareRootfs(image, { home, onProgress: (event) => events.push(event) });
  const done = events.filter(({ state }) => state === "done");
  assert.deepEqual(
    done.map(({ phase, id }) => [phase, id]).sort(),
    [
      ["convert", ""],
      ...image.layers.map(({ digest }) => ["unpack", digest.slice("sha256:".length, "sha256:".length + 12)]),
    ].sort(),
  );
  for (const { done, total } of events) assert.ok(done === undefined || total === undefined || done <= total);
});

test("rootfsKey() depends on the uncompressed layers and their order only", (t) => {
  const { blobs } = homeFor(t);
  const [a, b, zipped] = [
    storeLayer(blobs, lower),
    storeLayer(blobs, upper),
    storeLayer(blobs, lower, "gzip"),
  ];
  assert.equal(rootfsKey(imageOf(a, b)), rootfsKey(imageOf(zipped, b)));
  assert.notEqual(rootfsKey(imageOf(a, b)), rootfsKey(imageOf(b, a)));
});

test("prepareRootfs() unpacks a layer that is in the image twice only once", async (t) => {
  const { home, blobs } = homeFor(t);
  const layer = storeLayer(blobs, lower, "gzip");
  const events: ProgressEvent[] = [];
  await prepareRootfs(imageOf(layer, layer), { home, onProgress: (event) => events.push(event) });
  assert.equal(events.filter(({ phase, state }) => phase === "unpack" && state === "done").length, 1);
});

interface BadLayer {
  readonly layer: (blobs: string) => LocalLayer;
  readonly code: string;
  readonly message: RegExp;
}

const badLayers: Readonly<Record<string, BadLayer>> = {
  "content with another diff id": {
    layer: (blobs) => storeBlob(blobs, lower, { compression: "none", diffId: digestOf(upper) }),
    code: "DIGEST_MISMATCH",
    message: /does not unpack to sha256:/,
  },
  "compressed content with another diff id": {
    layer: (blobs) => storeBlob(blobs, gzipSync(lower), { compression: "gzip", diffId: digestOf(upper) }),
    code: "DIGEST_MISMATCH",
    message: /does not unpack to sha256:/,
  },
  "gzip data that is cut short": {
    layer: (blobs) =>
      storeBlob(blobs, gzipSync(upper).subarray(0, 100), { compression: "gzip", diffId: digestOf(upper) }),
    code: "ARCHIVE_INVALID",
    message: /damaged or not gzip/,
  },
  "zstd data that is none": {
    layer: (blobs) => storeBlob(blobs, lower, { compression: "zstd", diffId: digestOf(lower) }),
    code: "ARCHIVE_INVALID",
    message: /zstd/,
  },
  "an archive with a lying entry": {
    layer: (blobs) => storeLayer(blobs, concat(member({ name: "liar", size: 10_000 })), "gzip"),
    code: "ARCHIVE_INVALID",
    message: /Layer sha256:[0-9a-f]{64} cannot be unpacked: Entry 'liar' claims 10000 bytes/,
  },
  "a blob that is gone": {
    layer: (blobs) => {
      const layer = storeLayer(blobs, lower);
      fs.rmSync(layer.path);
      return layer;
    },
    code: "IMAGE_NOT_FOUND",
    message: /not in the store any more/,
  },
};

for (const [name, { layer, code, message }] of Object.entries(badLayers))
  test(`prepareRootfs() refuses ${name}, names the layer, and leaves nothing behind`, async (t) => {
    const { home, blobs } = homeFor(t);
    const bad = layer(blobs);
    await assert.rejects(
      prepareRootfs(imageOf(storeLayer(blobs, upper), bad), { home }),
      (error: SupermachineError) => {
        assert.deepEqual([error.code, error.data["layer"]], [code, bad.digest]);
        assert.match(error.message, message);
        return error instanceof SupermachineError;
      },
    );
    assert.deepEqual([fs.readdirSync(home.temporary), fs.readdirSync(home.rootfs)], [[], []]);
  });

test("unpackLayer() stops a bomb at its limits: by size, and by growth", async (t) => {
  const { blobs } = homeFor(t);
  const zeros = new Uint8Array(8 * 2 ** 20);
  const layer = storeBlob(blobs, gzipSync(zeros), { compression: "gzip", diffId: digestOf(zeros) });
  const cases = [{ maxLayerBytes: 2 ** 20 }, { freeBytes: 2 ** 20, maxRatio: 100 }];
  for (const [index, limits] of cases.entries()) {
    const spool = path.join(blobs, `spool-${index}`);
    await assert.rejects(unpackLayer(layer, { spool, limits }), (error: SupermachineError) => {
      assert.match(error.message, /grows beyond \d+ bytes/);
      return error.code === "ARCHIVE_INVALID";
    });
    assert.ok(fs.statSync(spool).size <= 2 ** 20);
  }
  await unpackLayer(layer, { spool: path.join(blobs, "fine") });
});

test("prepareRootfs() aborts in the middle and leaves nothing behind", async (t) => {
  const { home, blobs } = homeFor(t);
  const image = imageOf(storeLayer(blobs, largeTar(), "gzip"));
  const controller = new AbortController();
  const onProgress = ({ phase }: ProgressEvent): void => {
    if (phase === "unpack") controller.abort(new Error("enough"));
  };
  await assert.rejects(prepareRootfs(image, { home, onProgress, signal: controller.signal }), {
    code: "ABORTED",
  });
  assert.deepEqual([fs.readdirSync(home.temporary), fs.readdirSync(home.rootfs)], [[], []]);
  await assert.rejects(prepareRootfs(image, { home, signal: AbortSignal.abort() }), { code: "ABORTED" });
  assert.equal((await prepareRootfs(image, { home })).cached, false);
});

test("calls at once for one image share the work, and one's abort is not the other's", async (t) => {
  const { home, blobs } = homeFor(t);
  const image = imageOf(storeLayer(blobs, largeTar(), "gzip"));
  const controller = new AbortController();
  const aborted = prepareRootfs(image, {
    home,
    signal: controller.signal,
    onProgress: ({ phase }) => {
      if (phase === "unpack") controller.abort();
    },
  });
  const conversions: ProgressEvent[] = [];
  const others = [1, 2, 3].map(() =>
    prepareRootfs(image, {
      home,
      onProgress: (event) => event.phase === "convert" && conversions.push(event),
    }),
  );
  await assert.rejects(aborted, { code: "ABORTED" });
  const results = await Promise.all(others);
  assert.equal(new Set(results.map(({ path }) => path)).size, 1);
  assert.equal(conversions.filter(({ state }) => state === "done").length, 1);
});

test("processes at once, one of them killed, end with one whole image and no leftovers", async (t) => {
  const { home, blobs } = homeFor(t);
  const image = imageOf(storeLayer(blobs, largeTar(), "gzip"));
  const killed = start(t, home, image);
  await once(killed.stdout, "data");
  killed.kill("SIGKILL");
  await once(killed, "exit");
  assert.notDeepEqual(fs.readdirSync(home.temporary), []);

  const codes = await Promise.all([1, 2].map(async () => (await once(start(t, home, image), "exit"))[0]));
  assert.deepEqual(codes, [0, 0]);
  assert.deepEqual(fs.readdirSync(home.temporary), []);
  const [name = "", ...more] = fs.readdirSync(home.rootfs);
  assert.deepEqual(more, []);
  using source = new FileSource(path.join(home.rootfs, name));
  assert.equal(describeTree(readErofs(source)).length, 3);
});

/** Prepares in a process of its own, which writes a line as soon as it is at work. */
function start(t: TestContext, home: Home, image: LocalImage) {
  const module = (name: string) => JSON.stringify(new URL(name, import.meta.url).href);
  const script = `
    const { prepareRootfs } = await import(${module("./prepare-rootfs.js")});
    const { Home } = await import(${module("../../storage/home.js")});
    await prepareRootfs(${JSON.stringify(image)}, {
      home: new Home(${JSON.stringify(home.root)}),
      onProgress: ({ done }) => done > 0 && process.stdout.write("."),
    });`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => child.kill("SIGKILL"));
  return child;
}

/** Takes long enough to be interrupted. */
function largeTar(): Uint8Array {
  const data = new Uint8Array(48 * 2 ** 20);
  for (let at = 0; at < data.length; at += 16) data[at] = at >> 10;
  return tarOf(member({ name: "large", data }), member({ name: "small", data: "small" }));
}

function homeFor(t: TestContext): { home: Home; blobs: string } {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), "prepare-rootfs-"));
  t.after(() => fs.rmSync(root, { recursive: true, force: true }));
  const blobs = path.join(root, "blobs");
  fs.mkdirSync(blobs);
  return { home: new Home(root), blobs };
}
