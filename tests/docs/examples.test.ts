import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { compileExamples, documentedExamples } from "./examples.ts";

test("every example of the documentation compiles in a user's strict project", async () => {
  const examples = await documentedExamples();
  assert.ok(examples.length > 40, `only ${examples.length} examples were found`);
  const folder = mkdtempSync(join(tmpdir(), "supermachine-examples-"));
  try {
    assert.equal(await compileExamples(examples, folder), "");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
