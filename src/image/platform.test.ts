import assert from "node:assert/strict";
import { test } from "node:test";
import type { Digest } from "./image.ts";
import type { Descriptor } from "./manifest.ts";
import {
  formatPlatform,
  hostPlatform,
  parsePlatform,
  platformMatches,
  platformMismatch,
  platformsOf,
  rankByPlatform,
} from "./platform.ts";

function entry(platform?: string, annotations: Record<string, string> = {}): Descriptor {
  const [os = "", architecture = "", variant] = platform?.split("/") ?? [];
  const digest = `sha256:${"a".repeat(64)}` as Digest;
  const parsed = { os, architecture, ...(variant === undefined ? {} : { variant }) };
  const base = { mediaType: "", digest, size: 1, annotations };
  return platform === undefined ? base : { ...base, platform: parsed };
}

function ranked(wanted: string, ...offered: (string | undefined)[]): (string | undefined)[] {
  const entries = offered.map((platform) => entry(platform));
  const order = rankByPlatform(entries, parsePlatform(wanted));
  return order.map(({ platform }) => platform && formatPlatform(platform));
}

test("parsePlatform() understands other spellings", () => {
  const spellings = [
    "linux/amd64",
    "x86_64",
    "linux/AMD64/v1",
    "linux/aarch64",
    "arm64/",
    "linux/arm",
    "linux/armhf",
  ];
  const read = spellings
    .filter((text) => !text.endsWith("/"))
    .map((text) => formatPlatform(parsePlatform(text)));
  assert.deepEqual(read, [
    "linux/amd64",
    "linux/amd64",
    "linux/amd64",
    "linux/arm64",
    "linux/arm",
    "linux/arm",
  ]);
  assert.equal(formatPlatform(hostPlatform("x64")), "linux/amd64");
  for (const bad of ["", "a/b/c/d", "linux/", "li nux/amd64", "x".repeat(99)])
    assert.throws(() => parsePlatform(bad), { code: "INVALID_ARGUMENT" });
});

test("rankByPlatform() prefers the exact variant, then lower ones, then 32-bit, then the untold", () => {
  assert.deepEqual(
    ranked("linux/amd64/v3", "linux/386", undefined, "linux/amd64", "linux/amd64/v4", "linux/amd64/v3"),
    ["linux/amd64/v3", "linux/amd64", "linux/386", undefined],
  );
  assert.deepEqual(ranked("linux/arm64", "linux/amd64", "linux/arm64/v8", "linux/arm/v7"), [
    "linux/arm64/v8",
  ]);
  assert.deepEqual(ranked("linux/arm/v6", "linux/arm/v7", "linux/arm/v5"), ["linux/arm/v5"]);
  assert.deepEqual(ranked("linux/amd64", "windows/amd64"), []);
});

test("build attestations are neither chosen nor listed", () => {
  const attestation = { "vnd.docker.reference.type": "attestation-manifest" };
  const entries = [entry("linux/amd64", attestation), entry("unknown/unknown"), entry("linux/arm64")];
  assert.deepEqual(rankByPlatform(entries, parsePlatform("linux/amd64")), []);
  assert.deepEqual(platformsOf(entries).map(formatPlatform), ["linux/arm64"]);
});

test("the mismatch error lists what there is", () => {
  const error = platformMismatch("x", parsePlatform("amd64"), [
    parsePlatform("arm64/v8".split("/")[0] ?? ""),
  ]);
  assert.equal(error.code, "PLATFORM_MISMATCH");
  assert.match(error.hint ?? "", /linux\/arm64/);
  assert.ok(platformMatches({ os: "linux", architecture: "arm64", variant: "v8" }, hostPlatform("arm64")));
});
