import assert from "node:assert/strict";
import { test } from "node:test";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import { errorForJson, formatError } from "./error-report.ts";
import { styleFor } from "./style.ts";

const style = styleFor({}, {});
const plain = { style, debug: false };

test("formatError() is one line and a hint, without the cause", () => {
  const error = new SupermachineError("IMAGE_NOT_FOUND", "No image 'x'", {
    hint: "Pull it first",
    cause: new Error("secret detail"),
  });
  assert.equal(formatError(error, plain), "supermachine: No image 'x'\n  hint: Pull it first\n");
});

test("formatError() shows the end of the guest's console, made safe for a terminal", () => {
  const console = [...Array.from({ length: 40 }, (_, index) => `line ${index}`), "Kernel panic \u001b[31m"];
  const text = formatError(
    new SupermachineError("GUEST_PANIC", "The guest kernel panicked", { data: { console } }),
    plain,
  );
  assert.equal(text.split("\n").length, 17);
  assert.ok(text.includes("  | Kernel panic \\x1b[31m\n"));
});

test("formatError() calls foreign errors internal and never shows a stack unless asked", () => {
  const text = formatError(new TypeError("x is not a function\nsecond"), plain);
  assert.match(text, /^supermachine: Internal error: x is not a function\n {2}hint: .*report/);
  assert.doesNotMatch(text, /\bat /);
});

test("formatError() with debug shows code, data, stack and the chain of causes", () => {
  const error = new SupermachineError("FILE_ERROR", "Cannot read", {
    data: { errno: "EIO" },
    cause: new Error("middle", { cause: "innermost" }),
  });
  const text = formatError(error, { style, debug: true });
  for (const part of [
    "code: FILE_ERROR",
    '{"errno":"EIO"}',
    "caused by: Error: middle",
    "caused by: innermost",
  ])
    assert.ok(text.includes(part), part);
});

test("errorForJson() is the wire form, also of foreign errors and thrown non-errors", () => {
  assert.deepEqual(errorForJson(new SupermachineError("NO_SPACE", "Full")), {
    code: "NO_SPACE",
    message: "Full",
  });
  assert.equal(errorForJson("boom").message, "Internal error: boom");
});
