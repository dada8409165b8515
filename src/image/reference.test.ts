import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { canonicalName, familiarName, parseReference } from "./reference.ts";
import { parseImageSource } from "./source.ts";

const digest = `sha256:${"0123456789abcdef".repeat(4)}`;

const readings: readonly [text: string, canonical: string, familiar: string][] = [
  ["alpine", "docker.io/library/alpine:latest", "alpine:latest"],
  ["alpine:3.20", "docker.io/library/alpine:3.20", "alpine:3.20"],
  ["a/b", "docker.io/a/b:latest", "a/b:latest"],
  ["docker.io/alpine", "docker.io/library/alpine:latest", "alpine:latest"],
  ["index.docker.io/library/alpine", "docker.io/library/alpine:latest", "alpine:latest"],
  ["ghcr.io/a/b:tag", "ghcr.io/a/b:tag", "ghcr.io/a/b:tag"],
  ["localhost/x", "localhost/x:latest", "localhost/x:latest"],
  ["localhost:5000/x", "localhost:5000/x:latest", "localhost:5000/x:latest"],
  ["localhost:5000/x:y", "localhost:5000/x:y", "localhost:5000/x:y"],
  ["[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest"],
  ["MyHost/x", "MyHost/x:latest", "MyHost/x:latest"],
  ["myhost:5000", "docker.io/library/myhost:5000", "myhost:5000"],
  [`alpine@${digest}`, `docker.io/library/alpine@${digest}`, `alpine@${digest}`],
  [`alpine:3@${digest}`, `docker.io/library/alpine@${digest}`, `alpine@${digest}`],
  ["docker.io/localhost/x", "docker.io/localhost/x:latest", "docker.io/localhost/x:latest"],
  ["a__b-c/d--e/f.g:T_1", "docker.io/a__b-c/d--e/f.g:T_1", "a__b-c/d--e/f.g:T_1"],
];

test("parseReference() reads what Docker reads", () => {
  for (const [text, canonical, familiar] of readings) {
    const reference = parseReference(text);
    assert.equal(canonicalName(reference), canonical, text);
    assert.equal(familiarName(reference), familiar, text);
  }
});

test("parseReference() keeps the tag beside a digest", () => {
  assert.deepEqual(parseReference(`alpine:3@${digest}`), {
    domain: "docker.io",
    path: "library/alpine",
    tag: "3",
    digest,
  });
});

test("parseReference() refuses what Docker refuses", () => {
  const bad = [
    "",
    ":tag",
    "/x",
    "a//b",
    "a/",
    "Alpine",
    "a:b:c",
    "a@sha256:12",
    "a@md5:12",
    "a@",
    "a b",
    "-a",
  ];
  bad.push(
    "a:.x",
    `a:${"x".repeat(129)}`,
    "0".repeat(64),
    "a".repeat(256),
    "./x.tar",
    "/x.tar",
    "a___b",
    "ho_st:5/x",
  );
  bad.push("a".repeat(100_000), "ex.com:123456/x", "a\n", "a:b\n");
  for (const text of bad)
    assert.throws(() => parseReference(text), { code: "INVALID_REFERENCE" }, JSON.stringify(text));
});

test("both spellings of a reference read back as the same image", () => {
  const word = fc.stringMatching(/^[a-z0-9]{1,8}$/);
  const domain = fc.constantFrom("docker.io", "ghcr.io", "localhost", "localhost:5000", "10.0.0.1:80");
  const name = fc.tuple(
    domain,
    fc.array(word, { minLength: 1, maxLength: 4 }),
    fc.stringMatching(/^\w[\w.-]{0,20}$/),
  );
  fc.assert(
    fc.property(name, ([host, path, tag]) => {
      const reference = parseReference(`${host}/${path.join("/")}:${tag}`);
      assert.deepEqual(parseReference(canonicalName(reference)), reference);
      assert.deepEqual(parseReference(familiarName(reference)), reference);
    }),
  );
});

test("parseReference() ends any text in a reference or INVALID_REFERENCE", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[aA0./:@_-]{0,30}$/)), (text) => {
      try {
        parseReference(text);
      } catch (error) {
        assert.ok(error instanceof SupermachineError && error.code === "INVALID_REFERENCE");
      }
    }),
  );
});

test("parseImageSource() knows the transports and takes everything else for a reference", () => {
  assert.deepEqual(parseImageSource("-"), { kind: "stdin" });
  assert.deepEqual(parseImageSource("oci:/d/e"), { kind: "oci", path: "/d/e" });
  assert.deepEqual(parseImageSource("oci:d:v1"), { kind: "oci", path: "d", name: "v1" });
  assert.deepEqual(parseImageSource("oci-archive:x.tar:a:b"), {
    kind: "oci-archive",
    path: "x.tar",
    name: "a:b",
  });
  assert.deepEqual(parseImageSource("docker-archive:x.tar"), { kind: "docker-archive", path: "x.tar" });
  const reference = parseReference("alpine");
  assert.deepEqual(parseImageSource("docker://alpine"), { kind: "registry", reference });
  assert.deepEqual(parseImageSource("alpine"), { kind: "registry", reference });
  for (const bad of ["oci:", "docker-archive::x", "docker://", "oci:a\0b"])
    assert.throws(() => parseImageSource(bad), { code: "INVALID_REFERENCE" });
});
