import assert from "node:assert/strict";
import { test } from "node:test";
import koffi from "koffi";
import { EAGAIN, EINTR } from "./system-error.ts";
import { threadId } from "./thread.ts";
import { uninterrupted } from "./uninterrupted.ts";

// Native code is loaded with the first call, which would leave an errno of its own.
threadId();

/** A call that fails so often, with this errno, and then returns 7. */
function failing(times: number, errno: number): { call: () => number; calls: () => number } {
  let calls = 0;
  const call = (): number => {
    calls += 1;
    if (calls > times) return 7;
    koffi.errno(errno);
    return -1;
  };
  return { call, calls: () => calls };
}

test("a call that signals interrupt is made again", () => {
  const { call, calls } = failing(2, EINTR);
  assert.equal(uninterrupted(call), 7);
  assert.equal(calls(), 3);
});

test("a call that fails otherwise is not", () => {
  const { call, calls } = failing(2, EAGAIN);
  assert.equal(uninterrupted(call), -EAGAIN);
  assert.equal(calls(), 1);
});

test("a call that is always interrupted fails in the end", () => {
  const { call, calls } = failing(Number.POSITIVE_INFINITY, EINTR);
  assert.equal(uninterrupted(call), -EINTR);
  assert.equal(calls(), 1000);
});
