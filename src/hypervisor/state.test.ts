import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { encodeState, parseState, requireChunk } from "./state.ts";

test("parseState() gives back what encodeState() was given", () => {
  const chunks = fc.uniqueArray(fc.tuple(fc.string({ unit: "grapheme" }), fc.uint8Array()), {
    selector: ([name]) => name,
    maxLength: 10,
  });
  fc.assert(
    fc.property(chunks, (entries) => {
      const state = { backend: "kvm", subject: "vcpu", chunks: new Map(entries) };
      assert.deepEqual(parseState(encodeState(state)), state);
    }),
  );
});

test("parseState() refuses anything else with HYPERVISOR, and nothing but that", () => {
  const valid = encodeState({
    backend: "kvm",
    subject: "vm",
    chunks: new Map([["a", Uint8Array.of(1, 2, 3)]]),
  });
  for (let length = 0; length < valid.length; length += 1) {
    const parsed = attempt(valid.subarray(0, length));
    // A state may end after any whole pair; everything else is cut off.
    assert.ok(parsed === "refused" || parsed === "0 chunks", `${length}: ${parsed}`);
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => assert.equal(attempt(bytes), "refused")),
  );
  const position = fc.integer({ min: 0, max: valid.length - 1 });
  fc.assert(
    fc.property(position, fc.integer({ min: 0, max: 255 }), (at, value) => {
      const bytes = valid.slice();
      bytes[at] = value;
      attempt(bytes);
    }),
  );
  const twice = encodeState({
    backend: "kvm",
    subject: "vm",
    chunks: new Map([
      ["a", new Uint8Array()],
      ["b", new Uint8Array()],
    ]),
  });
  twice[twice.lastIndexOf(0x62)] = 0x61;
  assert.throws(() => parseState(twice), /twice/);
});

test("requireChunk() checks presence and length, and hands out a copy", () => {
  const bytes = Uint8Array.of(1, 2);
  const state = { backend: "kvm", subject: "vm", chunks: new Map([["a", bytes]]) };
  requireChunk(state, "a", 2)[0] = 9;
  assert.equal(bytes[0], 1);
  assert.throws(() => requireChunk(state, "a", 3), /2 bytes, not 3/);
  assert.throws(() => requireChunk(state, "b"), /missing/);
});

function attempt(bytes: Uint8Array): string {
  try {
    return `${parseState(bytes).chunks.size} chunks`;
  } catch (error) {
    assert.ok(error instanceof SupermachineError && error.code === "HYPERVISOR");
    return "refused";
  }
}
