import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { encodeManifest, parseManifest } from "./manifest.ts";
import { sampleManifest } from "./testing/sample-manifest.ts";

const encoder = new TextEncoder();

test("parseManifest() gives back what encodeManifest() was given", () => {
  const manifest = sampleManifest({ parent: "cd".repeat(32), labels: { a: "ü", "": "x" } });
  assert.deepEqual(parseManifest(encodeManifest(manifest)), manifest);
});

test("parseManifest() refuses unknown fields, wherever they are", () => {
  const manifest = JSON.parse(new TextDecoder().decode(encodeManifest(sampleManifest())));
  for (const part of [manifest, manifest.machine, manifest.memory, manifest.cpu, manifest.kernel]) {
    part.extra = 1;
    assert.equal(attempt(encoder.encode(JSON.stringify(manifest))), "SNAPSHOT_INVALID");
    delete part.extra;
  }
  assert.equal(attempt(encoder.encode(JSON.stringify(manifest))), "accepted");
});

test("parseManifest() refuses a manifest with any one field missing", () => {
  const whole = JSON.parse(new TextDecoder().decode(encodeManifest(sampleManifest())));
  for (const key of Object.keys(whole)) {
    const { [key]: _, ...rest } = whole;
    assert.equal(attempt(encoder.encode(JSON.stringify(rest))), "SNAPSHOT_INVALID", key);
  }
});

test("parseManifest() tells another format version from damage", () => {
  const other = encoder.encode(JSON.stringify({ format: 2, anything: true }));
  assert.equal(attempt(other), "SNAPSHOT_MISMATCH");
});

test("parseManifest() refuses a memory length that is not the machine's", () => {
  const { memory } = sampleManifest();
  const wrong = [
    { ...memory, length: memory.length + 4096 },
    { ...memory, pages: 1025 },
  ];
  for (const changed of wrong)
    assert.throws(() => encodeManifest(sampleManifest({ memory: changed })), /memory/);
});

test("parseManifest() throws nothing but errors about snapshots, whatever it gets", () => {
  const valid = encodeManifest(sampleManifest());
  const flipped = fc.tuple(fc.nat(valid.length - 1), fc.integer({ min: 0, max: 7 })).map(([at, bit]) => {
    const bytes = valid.slice();
    bytes[at]! ^= 1 << bit;
    return bytes;
  });
  const cut = fc.nat(valid.length - 1).map((length) => valid.subarray(0, length));
  const json = fc.json().map((text) => encoder.encode(text));
  fc.assert(
    fc.property(fc.oneof(flipped, cut, json, fc.uint8Array()), (bytes) => void attempt(bytes)),
    { numRuns: 1000 },
  );
  assert.equal(attempt(new Uint8Array(600 * 1024).fill(0x20)), "SNAPSHOT_INVALID");
});

function attempt(bytes: Uint8Array): string {
  try {
    parseManifest(bytes);
    return "accepted";
  } catch (error) {
    assert.ok(error instanceof SupermachineError && error.code.startsWith("SNAPSHOT_"), String(error));
    return error.code;
  }
}
