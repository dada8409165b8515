import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmdirSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ImageStore } from "../../src/image/host/image-store.ts";
import { FakeRegistry } from "../../src/image/host/testing/fake-registry.ts";
import { Home } from "../../src/storage/home.ts";

test("a full disk is one clear error, and what is there still works", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "supermachine-full-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m", "none", folder], { stdio: "ignore" });
  } catch {
    rmdirSync(folder);
    return t.skip("mounting a small file system needs root");
  }
  try {
    await using registry = await FakeRegistry.start();
    registry.addImage("small", { tag: "latest" });
    registry.addImage("big", { tag: "latest", layers: [randomBytes(3_000_000)] });
    const home = new Home(folder);
    const images = new ImageStore(home, { environment: {} });
    const small = await images.pull(`${registry.host}/small`);
    await assert.rejects(images.pull(`${registry.host}/big`), {
      code: "NO_SPACE",
      hint: /SUPERMACHINE_HOME/,
    });
    assert.deepEqual(await readdir(home.temporary), []);
    await images.prune();
    assert.deepEqual(await images.pull(`${registry.host}/small`, { policy: "never", verify: true }), small);
    assert.equal((await images.list()).length, 1);
  } finally {
    execFileSync("umount", [folder]);
    rmdirSync(folder);
  }
});
