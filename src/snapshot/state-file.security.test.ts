import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { encodeStateFile, parseStateFile } from "./state-file.ts";

const id = fc.stringMatching(/^[a-z0-9]{1,8}(?:[-./][a-z0-9]{1,8}){0,3}$/);
const component = fc.record(
  { id, version: fc.integer({ min: 1, max: 65_535 }), bytes: fc.uint8Array({ maxLength: 64 }) },
  { noNullPrototype: true },
);
const components = fc.uniqueArray(component, { selector: (saved) => saved.id, maxLength: 8 });

test("parseStateFile() gives back what encodeStateFile() was given, and one encoding exists of it", () => {
  fc.assert(
    fc.property(components, (saved) => {
      const file = encodeStateFile(saved);
      const parsed = parseStateFile(file);
      assert.deepEqual(parsed, saved);
      assert.deepEqual(encodeStateFile(parsed), file);
    }),
  );
});

test("parseStateFile() accepts no bytes but those that encodeStateFile() writes", () => {
  const flipped = fc.tuple(components, fc.nat(), fc.integer({ min: 0, max: 7 })).map(([saved, at, bit]) => {
    const file = encodeStateFile(saved);
    file[at % file.length]! ^= 1 << bit;
    return file;
  });
  fc.assert(
    fc.property(fc.oneof(flipped, fc.uint8Array({ maxLength: 100 })), (file) => {
      const parsed = attempt(file);
      if (parsed !== undefined) assert.deepEqual(encodeStateFile(parsed), file);
    }),
    { numRuns: 500 },
  );
});

test("parseStateFile() refuses a file that is cut anywhere or goes on", () => {
  const file = encodeStateFile([
    { id: "vm", version: 1, bytes: Uint8Array.of(1, 2, 3) },
    { id: "vcpu/0", version: 2, bytes: new Uint8Array(9) },
  ]);
  for (let length = 0; length < file.length; length++)
    assert.equal(attempt(file.subarray(0, length)), undefined, `${length}`);
  assert.equal(attempt(Uint8Array.of(...file, 0)), undefined);
});

test("parseStateFile() believes no length and no count", () => {
  for (const at of [12, 16, 24]) {
    const file = encodeStateFile([{ id: "vm", version: 1, bytes: new Uint8Array(4) }]);
    new DataView(file.buffer).setUint32(at, 0xffff_ffff, true);
    assert.equal(attempt(file), undefined, `${at}`);
  }
});

test("parseStateFile() refuses a component that is there twice", () => {
  const file = encodeStateFile([
    { id: "a", version: 1, bytes: new Uint8Array() },
    { id: "b", version: 1, bytes: new Uint8Array() },
  ]);
  file[file.length - 1] = 0x61;
  assert.throws(() => parseStateFile(file), /'?a state twice/);
});

test("parseStateFile() names the version that it does not know", () => {
  const file = encodeStateFile([]);
  file[8] = 7;
  assert.throws(
    () => parseStateFile(file),
    (error) =>
      error instanceof SupermachineError && error.code === "SNAPSHOT_MISMATCH" && /7/.test(error.message),
  );
});

test("encodeStateFile() refuses what could not be read back", () => {
  const bytes = new Uint8Array();
  for (const wrong of ["", "A", "a//b", "a ", "x".repeat(65), "/a"])
    assert.throws(() => encodeStateFile([{ id: wrong, version: 1, bytes }]), RangeError, wrong);
  assert.throws(() => encodeStateFile([{ id: "a", version: 0, bytes }]), RangeError);
  const one = { id: "a", version: 1, bytes };
  assert.throws(() => encodeStateFile([one, one]), RangeError);
});

function attempt(file: Uint8Array): ReturnType<typeof parseStateFile> | undefined {
  try {
    return parseStateFile(file);
  } catch (error) {
    assert.ok(error instanceof SupermachineError && error.code.startsWith("SNAPSHOT_"), String(error));
    return undefined;
  }
}
