import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import { formatError } from "./error-report.ts";
import { printable } from "./printable.ts";
import { styleFor } from "./style.ts";
import { formatTable } from "./table.ts";

/** Strings rich in what terminals act on. */
const hostile = fc.string({
  unit: fc.oneof(
    fc.constantFrom(
      "\u001b",
      "[2J",
      "]0;",
      "\u0007",
      "\r",
      "\n",
      "\b",
      "\u009b",
      "\u202e",
      "\u2028",
      "a",
      "日",
    ),
    fc.string({ unit: "binary", maxLength: 1 }),
  ),
});
const controls = /\p{Cc}|[\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;

test("printable() leaves nothing that a terminal acts on, and does not touch ordinary text", () => {
  fc.assert(fc.property(hostile, (text) => !controls.test(printable(text))));
  assert.equal(printable("Grüße, 日本 🎉 -> 100%"), "Grüße, 日本 🎉 -> 100%");
});

test("names from outside stay in their line of a table", () => {
  fc.assert(
    fc.property(fc.array(hostile, { maxLength: 5 }), (names) => {
      const columns = [{ title: "NAME", value: (name: string) => name, maximum: 20 }];
      const lines = formatTable(names, columns).split("\n");
      assert.equal(lines.length, names.length + 2);
      for (const line of lines) assert.doesNotMatch(line, controls);
    }),
  );
});

test("messages, hints and console lines from outside stay in their line of an error", () => {
  fc.assert(
    fc.property(hostile, hostile, hostile, (message, hint, line) => {
      const error = new SupermachineError("GUEST_PANIC", message, { hint, data: { console: [line] } });
      const lines = formatError(error, { style: styleFor({}, {}), debug: false }).split("\n");
      assert.equal(lines.length, 4);
      for (const shown of lines) assert.doesNotMatch(shown, controls);
    }),
  );
});
