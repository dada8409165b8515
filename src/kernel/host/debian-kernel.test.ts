import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import { Home } from "../../storage/home.ts";
import { moduleFile } from "../testing/module-file.ts";
import { fetchDebianKernel, findDebianKernel } from "./debian-kernel.ts";
import { currentKernel, readModules, storeKernel } from "./kernel-store.ts";

const kernel = {
  name: "linux-image-6.1.0-1-cloud-amd64",
  version: "6.1.1-1",
  release: "6.1.0-1-cloud-amd64",
};
const stanza = "Package: linux-image-cloud-amd64\nDepends: linux-image-6.1.0-1-cloud-amd64 (= 6.1.1-1)";

test("findDebianKernel() finds the versioned kernel in the package lists", async (t) => {
  useTools(t, { "apt-cache": `echo '${stanza}'` });
  assert.deepEqual(await findDebianKernel("x64"), kernel);
});

test("findDebianKernel() without apt tells how to name a kernel", async (t) => {
  useTools(t, {});
  await assert.rejects(findDebianKernel("x64"), hasHint(/--kernel PATH or SUPERMACHINE_KERNEL/));
});

test("findDebianKernel() without package lists tells to fetch them", async (t) => {
  useTools(t, {
    "apt-cache": "echo 'E: No packages found' >&2; exit 100",
    dpkg: '[ "$1" = --print-architecture ] && echo amd64',
  });
  await assert.rejects(findDebianKernel("x64"), hasHint(/^Run apt-get update as root\. .*--kernel/));
});

test("findDebianKernel() for a foreign architecture tells how to add it", async (t) => {
  useTools(t, { "apt-cache": "exit 100", dpkg: '[ "$1" = --print-architecture ] && echo amd64' });
  await assert.rejects(findDebianKernel("arm64"), hasHint(/dpkg --add-architecture arm64 && apt-get update/));
});

test("fetchDebianKernel() downloads exactly this version and unpacks it", async (t) => {
  const folder = useTools(t, {
    "apt-get": 'echo "$@" > arguments; echo deb > k.deb; echo "W: something harmless" >&2',
    "dpkg-deb": '[ "$1" = --extract ] && cat "$2" > "$3/unpacked"',
  });
  const root = await fetchDebianKernel(kernel, { architecture: "x64", folder });
  assert.ok(existsSync(join(root, "unpacked")));
});

test("fetchDebianKernel() reports apt's last words", async (t) => {
  const folder = useTools(t, { "apt-get": "echo 'E: Failed to fetch http://mirror 404' >&2; exit 100" });
  await assert.rejects(fetchDebianKernel(kernel, { architecture: "x64", folder }), (error) => {
    assert.ok(error instanceof SupermachineError && error.code === "KERNEL_NOT_FOUND");
    assert.deepEqual(error.data["output"], ["E: Failed to fetch http://mirror 404"]);
    return true;
  });
});

test("fetchDebianKernel() can be aborted", async (t) => {
  const folder = useTools(t, { "apt-get": "sleep 60" });
  const signal = AbortSignal.timeout(50);
  await assert.rejects(fetchDebianKernel(kernel, { architecture: "x64", folder, signal }), {
    code: "ABORTED",
  });
});

test("storeKernel() keeps the kernel and the needed modules, and makes it the kernel in use", async (t) => {
  const home = new Home(useTools(t, {}));
  const root = installedTree(home.root);
  assert.equal(await currentKernel(home, "x64"), undefined);
  const from = { ...kernel, root, architecture: "x64" as const };
  const stored = await Promise.all([storeKernel(home, from), storeKernel(home, from)]);
  assert.deepEqual(stored[0], stored[1]);
  assert.deepEqual(await currentKernel(home, "x64"), stored[0]);
  assert.equal(await currentKernel(home, "arm64"), undefined);
  assert.deepEqual([...(await readModules(stored[0].folder)).keys()].sort(), [
    "erofs.ko",
    "order",
    "overlay.ko",
    "virtio_blk.ko",
    "virtio_console.ko",
    "virtio_mmio.ko",
  ]);
  assert.deepEqual(readdirSync(home.temporary), []);
});

test("storeKernel() leaves nothing behind when a needed module is missing", async (t) => {
  const home = new Home(useTools(t, {}));
  const root = installedTree(home.root);
  rmSync(join(root, "lib/modules", kernel.release, "kernel/erofs.ko"));
  await assert.rejects(storeKernel(home, { ...kernel, root, architecture: "x64" }), {
    code: "KERNEL_NOT_FOUND",
  });
  assert.deepEqual([existsSync(home.temporary), existsSync(home.kernels)], [false, false]);
  rmSync(join(root, "lib/modules"), { recursive: true });
  await assert.rejects(storeKernel(home, { ...kernel, root, architecture: "x64" }), {
    code: "KERNEL_NOT_FOUND",
  });
});

/** A root file system with a kernel whose modules are one too many, and whose `virtio` is built in. */
function installedTree(folder: string): string {
  const root = join(folder, "installed");
  const modules = join(root, "lib/modules", kernel.release);
  mkdirSync(join(modules, "kernel"), { recursive: true });
  mkdirSync(join(root, "boot"));
  writeFileSync(join(root, "boot", `vmlinuz-${kernel.release}`), "image");
  writeFileSync(join(modules, "modules.builtin"), "kernel/drivers/virtio/virtio.ko\n");
  for (const name of ["virtio_mmio", "virtio_console", "virtio_blk", "erofs", "overlay", "floppy"])
    writeFileSync(join(modules, "kernel", `${name}.ko`), moduleFile(name, ["virtio"]));
  return root;
}

/** A folder whose scripts are the only programs to be found (with cat and sleep) until the test ends. */
function useTools(t: TestContext, scripts: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), "kernel-test-"));
  const bin = join(folder, "bin");
  mkdirSync(bin);
  const system = { cat: 'exec /bin/cat "$@"', sleep: 'exec /bin/sleep "$@"' };
  for (const [name, script] of Object.entries({ ...system, ...scripts })) {
    writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(bin, name), 0o755);
  }
  const path = process.env["PATH"];
  process.env["PATH"] = bin;
  t.after(() => {
    process.env["PATH"] = path;
    rmSync(folder, { recursive: true });
  });
  return folder;
}

function hasHint(pattern: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof SupermachineError && error.code === "KERNEL_NOT_FOUND", String(error));
    assert.match(error.hint ?? "", pattern);
    return true;
  };
}
