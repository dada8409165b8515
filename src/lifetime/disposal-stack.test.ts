import assert from "node:assert/strict";
import { test } from "node:test";
import { AsyncDisposalStack } from "./async-disposal-stack.ts";
import { DisposalStack } from "./disposal-stack.ts";

test("a stack releases last first, once", () => {
  const order: number[] = [];
  const stack = new DisposalStack();
  stack.defer(() => order.push(1));
  const value = { [Symbol.dispose]: () => order.push(2) };
  assert.equal(stack.use(value), value);
  stack[Symbol.dispose]();
  stack[Symbol.dispose]();
  assert.deepEqual(order, [2, 1]);
  assert.equal(stack.disposed, true);
  assert.throws(() => stack.defer(() => {}), ReferenceError);
});

test("a moved stack releases nothing; its successor everything", () => {
  const order: number[] = [];
  const move = (): DisposalStack => {
    using stack = new DisposalStack();
    stack.defer(() => order.push(1));
    return stack.move();
  };
  const moved = move();
  assert.deepEqual(order, []);
  moved[Symbol.dispose]();
  assert.deepEqual(order, [1]);
});

test("a release that fails does not keep the others from running", () => {
  const order: number[] = [];
  const failure = new Error("first");
  const stack = new DisposalStack();
  stack.defer(() => order.push(1));
  stack.defer(() => {
    throw failure;
  });
  assert.throws(() => stack[Symbol.dispose](), failure);
  assert.deepEqual(order, [1]);
});

test("an asynchronous stack awaits one release before the next", async () => {
  const order: string[] = [];
  {
    await using stack = new AsyncDisposalStack();
    stack.defer(() => order.push("last"));
    stack.use({
      [Symbol.asyncDispose]: async () => {
        order.push("begin");
        await new Promise((resolve) => setTimeout(resolve, 1));
        order.push("end");
      },
    });
    stack.use({ [Symbol.dispose]: () => order.push("first") });
  }
  assert.deepEqual(order, ["first", "begin", "end", "last"]);
});
