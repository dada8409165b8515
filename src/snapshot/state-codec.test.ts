import assert from "node:assert/strict";
import { test } from "node:test";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { ComponentSet, loadComponent, type StateCodec, saveComponent } from "./state-codec.ts";
import { wordsCodec } from "./words-codec.ts";

/** Version 1 had the level alone, version 2 put the name in front, version 3 is what there is now. */
const codec: StateCodec<{ name: string; level: number }> = {
  id: "lamp",
  version: 3,
  migrations: [
    { from: 2, reason: "levels were in halves", up: (bytes) => bytes.with(-1, (bytes.at(-1) ?? 0) / 2) },
  ],
  encode: ({ name, level }) => Uint8Array.of(...new TextEncoder().encode(name), level),
  parse(bytes) {
    if (bytes.length < 2) throw new Error("too short");
    return { name: new TextDecoder().decode(bytes.subarray(0, -1)), level: bytes.at(-1) ?? 0 };
  },
};

test("a component's state comes back through its codec, and instances are told apart", () => {
  const left = { name: "left", level: 3 };
  const right = { name: "right", level: 4 };
  const set = new ComponentSet([
    saveComponent(codec, left, { instance: 0 }),
    saveComponent(codec, right, { instance: 1 }),
  ]);
  assert.deepEqual(set.take(codec, { instance: 1 }), right);
  assert.equal(set.has(codec, { instance: 1 }), false);
  assert.throws(() => set.finish(), matching("SNAPSHOT_MISMATCH", /lamp\/0/));
  assert.deepEqual(set.take(codec, { instance: 0 }), left);
  set.finish();
  assert.throws(() => set.take(codec, { instance: 0 }), matching("SNAPSHOT_INVALID", /no lamp\/0/));
});

test("old versions climb their migrations; too old and too new ones are refused by name and number", () => {
  const saved = (version: number) => ({ id: "lamp", version, bytes: Uint8Array.of(0x61, 8) });
  assert.deepEqual(loadComponent(codec, saved(3)), { name: "a", level: 8 });
  assert.deepEqual(loadComponent(codec, saved(2)), { name: "a", level: 4 });
  assert.throws(() => loadComponent(codec, saved(1)), matching("SNAPSHOT_MISMATCH", /version 1.*no longer/));
  assert.throws(
    () => loadComponent(codec, saved(4)),
    matching("SNAPSHOT_MISMATCH", /version 4, newer than 3/),
  );
});

test("whatever a codec throws is SNAPSHOT_INVALID with that as its cause", () => {
  assert.throws(
    () => loadComponent(codec, { id: "lamp", version: 3, bytes: new Uint8Array() }),
    (error) => error instanceof SupermachineError && /too short/.test(String(error.cause)),
  );
});

test("two states of one component are refused", () => {
  const one = saveComponent(codec, { name: "x", level: 1 });
  assert.throws(() => new ComponentSet([one, one]), matching("SNAPSHOT_INVALID", /twice/));
});

test("wordsCodec() keeps words and refuses wrong lengths and what its check refuses", () => {
  const words = wordsCodec({
    id: "port",
    version: 1,
    length: 3,
    check: (state) => (state[0] === 9 ? "it has a nine" : undefined),
  });
  const state = Int32Array.of(-1, 0x7fff_ffff, 5);
  assert.deepEqual(words.parse(words.encode(state)), state);
  assert.throws(() => words.parse(new Uint8Array(11)), matching("SNAPSHOT_INVALID", /11 bytes, not 12/));
  assert.throws(
    () => words.parse(words.encode(Int32Array.of(9, 0, 0))),
    matching("SNAPSHOT_INVALID", /nine/),
  );
  assert.throws(() => words.encode(new Int32Array(2)), RangeError);
});

function matching(code: string, text: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof SupermachineError && error.code === code && text.test(error.message);
}
