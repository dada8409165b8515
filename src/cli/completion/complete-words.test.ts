import assert from "node:assert/strict";
import { test } from "node:test";
import { runFake } from "../testing/fake-host.ts";

/** The words that are offered for the last word, without their descriptions. */
async function offered(...words: string[]): Promise<string[]> {
  const { exitCode, stdout, stderr } = await runFake(["__complete", "--", ...words]);
  assert.deepEqual([exitCode, stderr], [0, ""]);
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.split("\t", 1)[0] ?? "");
}

test("completes commands, also after global options and help", async () => {
  assert.deepEqual(await offered("im"), ["images", "import"]);
  assert.deepEqual(await offered("--debug", "do"), ["doctor"]);
  assert.deepEqual(await offered("help", "do"), ["doctor"]);
  assert.ok((await offered("")).includes("--help"));
});

test("completes options, values of options, and values after an equals sign", async () => {
  assert.deepEqual(await offered("run", "--en"), ["--env", "--env-file", "--entrypoint", "--engine"]);
  assert.deepEqual(await offered("run", "--engine", ""), ["auto", "qemu", "vmm"]);
  assert.deepEqual(await offered("run", "--engine=q"), ["--engine=qemu"]);
  assert.deepEqual(await offered("run", "-it", "--pull", "n"), ["never"]);
  assert.deepEqual(await offered("run", "--env-file", ""), [":files"]);
  assert.deepEqual(await offered("run", "-e", ""), []);
});

test("completes images for run, also behind options and their values", async () => {
  const images = await offered("run", "-it", "-e", "A=1", "--name", "x", "--rm", "");
  assert.ok(images.includes("ghcr.io/owner/app:1.2"));
  assert.deepEqual(await offered("run", "-dp", "80:80", "ghcr"), ["ghcr.io/owner/app:1.2"]);
  assert.deepEqual(await offered("run", "oci:./d"), [":files"]);
});

test("offers nothing for the guest's own arguments", async () => {
  assert.deepEqual(await offered("run", "alpine", ""), []);
  assert.deepEqual(await offered("run", "alpine", "ls", "-"), []);
  assert.deepEqual(await offered("exec", "web", "--na"), []);
});

test("completes machines, and files with machines for cp", async () => {
  assert.deepEqual(await offered("stop", ""), ["web"]);
  assert.deepEqual(await offered("stop", "web", ""), ["web"]);
  assert.deepEqual(await offered("cp", ""), ["web:", ":files"]);
});

test("completes commands of a command, and snapshots by name", async () => {
  assert.deepEqual(await offered("snapshots", "in"), ["inspect"]);
  assert.deepEqual(await offered("snapshots", "rm", ""), ["ready"]);
  assert.deepEqual(await offered("snapshots", "export", "ready", ""), [":files"]);
  assert.deepEqual(await offered("snapshots", "prune", "--te"), ["--templates"]);
  assert.deepEqual(await offered("snapshots", "nope", ""), []);
  assert.deepEqual(await offered("restore", "-d", ""), ["ready"]);
  assert.deepEqual(await offered("snapshot", "web", ""), []);
});

test("is silent about unknown commands and broken libraries", async () => {
  assert.deepEqual(await offered("nope", ""), []);
  const { exitCode, stdout, stderr } = await runFake(["__complete", "--", "run", ""], {
    // A list that is none breaks whoever uses it.
    state: { images: undefined as never },
  });
  assert.deepEqual([exitCode, stdout, stderr], [0, "", ""]);
});
