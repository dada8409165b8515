import assert from "node:assert/strict";
import { test } from "node:test";
import { SupermachineError } from "./supermachine-error.ts";

test("SupermachineError survives its wire form with code, hint, data and cause", () => {
  const error = new SupermachineError("FILE_ERROR", "Cannot read '/x'", {
    hint: "Check the path",
    data: { errno: "ENOENT" },
    cause: new SupermachineError("AGENT_PROTOCOL", "Bad frame"),
  });
  const back = SupermachineError.fromJSON(JSON.parse(JSON.stringify(error)));
  assert.deepEqual(
    [back.code, back.message, back.hint, back.data],
    [error.code, error.message, error.hint, error.data],
  );
  assert.equal((back.cause as SupermachineError).code, "AGENT_PROTOCOL");
});

test("SupermachineError.fromJSON() turns anything malformed into INTERNAL", () => {
  assert.equal(SupermachineError.fromJSON(7).code, "INTERNAL");
  assert.equal(SupermachineError.fromJSON({ code: "toString", message: 3 }).code, "INTERNAL");
});

test("instanceof recognises errors by brand, not by class identity", () => {
  const foreign = Object.assign(new Error("x"), { [Symbol.for("supermachine.error")]: true });
  assert.ok(foreign instanceof SupermachineError);
  assert.ok(!(new Error("x") instanceof SupermachineError));
});
