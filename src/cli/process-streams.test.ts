import assert from "node:assert/strict";
import { test } from "node:test";
import { ProcessStreams } from "./process-streams.ts";

test("streams are watched once they are used, and once only", async () => {
  const { stdout, stderr } = process;
  const before = [stdout.listenerCount("error"), stderr.listenerCount("error")];
  const onError = (): void => {};
  const streams = new ProcessStreams(onError);
  assert.deepEqual([stdout.listenerCount("error"), stderr.listenerCount("error")], before);
  assert.equal(streams.stderr, stderr);
  assert.equal(streams.stderr, stderr);
  assert.equal(stderr.listeners("error").filter((listener) => listener === onError).length, 1);
  assert.equal(stdout.listeners("error").includes(onError), false);
  await streams.flush();
  stderr.off("error", onError);
});
