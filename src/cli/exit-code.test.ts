import assert from "node:assert/strict";
import { test } from "node:test";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { exitCodeForError, exitCodeOf } from "./exit-code.ts";

test("exitCodeOf() passes codes through and adds 128 to signals", () => {
  assert.equal(exitCodeOf({ exitCode: 0 }), 0);
  assert.equal(exitCodeOf({ exitCode: 255 }), 255);
  assert.equal(exitCodeOf({ signal: "SIGKILL" }), 137);
  assert.equal(exitCodeOf({}), 125);
});

test("exitCodeForError() tells a missing command, one that cannot be executed and our own failures apart", () => {
  const guest = { runsGuestCommand: true };
  assert.equal(exitCodeForError(new SupermachineError("COMMAND_NOT_FOUND", "x"), guest), 127);
  assert.equal(exitCodeForError(new SupermachineError("COMMAND_NOT_EXECUTABLE", "x"), guest), 126);
  assert.equal(exitCodeForError(new SupermachineError("IMAGE_NOT_FOUND", "x"), guest), 125);
  assert.equal(exitCodeForError(new Error("x"), guest), 125);
});

test("exitCodeForError() is 1 for commands that run nothing in a guest", () => {
  assert.equal(
    exitCodeForError(new SupermachineError("COMMAND_NOT_FOUND", "x"), { runsGuestCommand: false }),
    1,
  );
});
