import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { PageMap, pageLength } from "./page-map.ts";
import { encodeWorkingSet, maxWorkingSetPages, parseWorkingSet, type WorkingSet } from "./working-set.ts";

const pages = 512;

function workingSet(): WorkingSet {
  const touched = new PageMap(pages);
  const written = new PageMap(pages);
  touched.add(3, 40);
  written.add(10, 2);
  return { touched, written };
}

test("a working set comes back as it was", () => {
  const { touched, written } = parseWorkingSet(encodeWorkingSet(workingSet()), pages * pageLength);
  assert.deepEqual([...touched.runs()], [{ start: 3, count: 40 }]);
  assert.deepEqual([...written.runs()], [{ start: 10, count: 2 }]);
});

test("one of a memory of another length is refused", () => {
  assert.throws(() => parseWorkingSet(encodeWorkingSet(workingSet()), (pages + 1) * pageLength), isInvalid);
});

test("one that names more than a start can need is refused", () => {
  const all = PageMap.full(maxWorkingSetPages + 1);
  const bytes = encodeWorkingSet({ touched: all, written: new PageMap(all.pages) });
  assert.throws(() => parseWorkingSet(bytes, all.pages * pageLength), isInvalid);
});

test("no bytes make parsing fail in another way", () => {
  const whole = encodeWorkingSet(workingSet());
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, value) => {
      const bytes = whole.slice();
      bytes[at] = value;
      try {
        parseWorkingSet(bytes, pages * pageLength);
      } catch (error) {
        assert.ok(error instanceof SupermachineError && error.code.startsWith("SNAPSHOT_"), String(error));
      }
    }),
  );
});

function isInvalid(error: unknown): boolean {
  return error instanceof SupermachineError && error.code === "SNAPSHOT_INVALID";
}
