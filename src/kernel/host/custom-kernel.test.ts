import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { gzipSync } from "node:zlib";
import { Home } from "../../storage/home.ts";
import { moduleFile } from "../testing/module-file.ts";
import { customKernel } from "./custom-kernel.ts";
import { readModules } from "./kernel-store.ts";

const names = ["virtio_mmio", "virtio_console", "virtio_blk", "erofs", "overlay"];

test("customKernel() uses the image in place and the modules beside it, decompressed", async (t) => {
  const { home, image } = kernelFile(t);
  mkdirSync(join(home.root, "modules"));
  for (const name of names)
    writeFileSync(join(home.root, "modules", `${name}.ko.gz`), gzipSync(moduleFile(name, [])));
  const kernel = await customKernel(home, image);
  assert.deepEqual([kernel.image, kernel.release], [image, "6.9-own"]);
  const modules = await readModules(kernel.folder);
  assert.deepEqual(Buffer.from(modules.get("erofs.ko") ?? []), Buffer.from(moduleFile("erofs", [])));
  assert.deepEqual(await customKernel(home, image), kernel);
});

test("customKernel() without modules takes everything for built in", async (t) => {
  const { home, image } = kernelFile(t);
  const modules = await readModules((await customKernel(home, image)).folder);
  assert.deepEqual([...modules.keys()], ["order"]);
});

test("customKernel() notices that the image was replaced", async (t) => {
  const { home, image } = kernelFile(t);
  const before = await customKernel(home, image);
  writeFileSync(image, "\x7fELF\0Linux version 6.10-own (gcc)");
  const after = await customKernel(home, image);
  assert.deepEqual([before.release, after.release], ["6.9-own", "6.10-own"]);
  assert.notEqual(before.folder, after.folder);
});

test("customKernel() says which file is missing", async (t) => {
  const { home } = kernelFile(t);
  await assert.rejects(customKernel(home, "/nowhere/vmlinux"), {
    code: "KERNEL_NOT_FOUND",
    message: "There is no kernel '/nowhere/vmlinux'",
  });
});

test("customKernel() refuses what is no kernel", async (t) => {
  const { home, image } = kernelFile(t);
  writeFileSync(image, "root:x:0:0:root:/root:/bin/sh\n".repeat(100));
  await assert.rejects(customKernel(home, image), {
    code: "KERNEL_NOT_FOUND",
    message: `The file '${image}' is no kernel image`,
  });
});

function kernelFile(t: TestContext): { home: Home; image: string } {
  const root = mkdtempSync(join(tmpdir(), "kernel-test-"));
  t.after(() => rmSync(root, { recursive: true }));
  const image = join(root, "vmlinux");
  writeFileSync(image, "\x7fELF\0Linux version 6.9-own (gcc)");
  return { home: new Home(root), image };
}
