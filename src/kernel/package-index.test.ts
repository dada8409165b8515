import assert from "node:assert/strict";
import { test } from "node:test";
import { parseKernelPackage } from "./package-index.ts";

test("parseKernelPackage() finds the versioned package behind a metapackage", () => {
  const stanza = [
    "Package: linux-image-cloud-amd64",
    "Version: 6.1.192-2",
    "Depends: linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)",
    "Description: Linux for x86-64 cloud (meta-package)",
  ].join("\n");
  assert.deepEqual(parseKernelPackage(stanza), {
    name: "linux-image-6.1.0-56-cloud-amd64",
    version: "6.1.192-2",
    release: "6.1.0-56-cloud-amd64",
  });
});

test("parseKernelPackage() gives nothing for lists without a kernel, or with a path in its place", () => {
  for (const text of [
    "",
    "Package: x\nDepends: libc6",
    "Depends: linux-image-6/../.. (= 1)",
    "Depends: linux-image-6.1 (>= 1)",
  ])
    assert.equal(parseKernelPackage(text), undefined, text);
});
