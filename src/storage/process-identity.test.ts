import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { formatIdentity, identifyProcess, isAlive, parseIdentity } from "./process-identity.ts";

test("a process is alive until it ends, and a later one with its number is another", async () => {
  const child = spawn("sleep", ["60"]);
  await once(child, "spawn");
  const identity = identifyProcess(child.pid);
  assert.equal(isAlive(identity), true);
  assert.equal(isAlive({ ...identity, started: `${identity.started}0` }), false);
  child.kill("SIGKILL");
  await once(child, "exit");
  assert.equal(isAlive(identity), false);
});

test("a process of another place is not taken for one of the same number here", () => {
  const own = identifyProcess();
  assert.equal(own.pid, process.pid);
  assert.equal(isAlive(own), true);
  assert.equal(isAlive({ ...own, place: "00000000" }), false);
});

test("an identity survives being a part of a file name; what is none is refused", () => {
  const own = identifyProcess();
  assert.deepEqual(parseIdentity(formatIdentity(own)), own);
  for (const text of ["", "1.2.3", "00000000.1", "00000000.1.2.3", "0000000g.1.2", "00000000.-1.2"])
    assert.equal(parseIdentity(text), undefined, text);
});
