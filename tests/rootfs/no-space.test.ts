// A disk that fills up while an image is unpacked or converted.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { type TestContext, test } from "node:test";
import type { SupermachineError } from "../../src/errors/supermachine-error.ts";
import { prepareRootfs } from "../../src/rootfs/host/prepare-rootfs.ts";
import { imageOf, storeLayer } from "../../src/rootfs/host/testing/local-layer.ts";
import { Home } from "../../src/storage/home.ts";
import { member, tarOf } from "../../src/tar/testing/tar-builder.ts";

const skip = process.getuid?.() === 0 ? false : "only root can mount a small file system";

for (const [name, compression, sizeMiB] of [
  ["the uncompressed layer", "gzip", 4],
  ["the image", "none", 4],
  ["the image beside the uncompressed layer", "gzip", 12],
] as const)
  test(`NO_SPACE names the path when ${name} does not fit, and nothing is left behind`, {
    skip,
  }, async (t) => {
    const { blobs, small } = folders(t, sizeMiB);
    const tar = tarOf(member({ name: "large", data: randomBytes(8 * 2 ** 20) }));
    const home = new Home(small);
    const image = imageOf(storeLayer(blobs, tar, compression));
    await assert.rejects(prepareRootfs(image, { home }), (error: SupermachineError) => {
      assert.equal(error.code, "NO_SPACE");
      assert.ok(String(error.data["path"]).startsWith(home.temporary));
      assert.match(error.hint ?? "", /SUPERMACHINE_HOME/);
      return true;
    });
    assert.deepEqual([fs.readdirSync(home.temporary), fs.readdirSync(home.rootfs)], [[], []]);
  });

function folders(t: TestContext, sizeMiB: number): { blobs: string; small: string } {
  const blobs = fs.mkdtempSync(path.join(os.tmpdir(), "no-space-blobs-"));
  const small = fs.mkdtempSync(path.join(os.tmpdir(), "no-space-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${sizeMiB}m`, "none", small]);
  t.after(() => {
    execFileSync("umount", [small]);
    for (const folder of [blobs, small]) fs.rmSync(folder, { recursive: true });
  });
  return { blobs, small };
}
