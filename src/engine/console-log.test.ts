import assert from "node:assert/strict";
import { test } from "node:test";
import { ConsoleLog } from "./console-log.ts";

const panicLine = "[    1.234567] Kernel panic - not syncing: Attempted to kill init!";

test("ConsoleLog keeps lines whatever chunks they come in, and an unfinished last one", () => {
  const log = new ConsoleLog();
  for (const byte of Buffer.from("one\r\ntw\u00f6\n\nlast")) log.push(Uint8Array.of(byte));
  assert.deepEqual(log.lines(), ["one", "tw\u00f6", "", "last"]);
});

test("ConsoleLog announces a panic once, wherever the chunks end", () => {
  let panics = 0;
  const log = new ConsoleLog(() => panics++);
  for (const byte of Buffer.from(`boot\n${panicLine}\n---[ end ${panicLine} ]---\n${panicLine}\n`))
    log.push(Uint8Array.of(byte));
  assert.equal(panics, 1);
  assert.equal(log.hasPanicked, true);
});

test("ConsoleLog knows the panic line with a caller column and without a time", () => {
  for (const line of [
    "Kernel panic - not syncing: VFS",
    "[    1.2][    T1] Kernel panic - not syncing: VFS",
  ]) {
    const log = new ConsoleLog();
    log.push(Buffer.from(`${line}\n`));
    assert.equal(log.hasPanicked, true, line);
  }
});

test("ConsoleLog takes no talk about a panic for one", () => {
  const log = new ConsoleLog();
  log.push(Buffer.from("echo Kernel panic - not syncing\nKernel panic\n"));
  assert.equal(log.hasPanicked, false);
});

test("ConsoleLog stays small whatever the guest writes", () => {
  const log = new ConsoleLog();
  log.push(Buffer.from("a".repeat(1 << 20)));
  log.push(Buffer.from("\n".repeat(1000)));
  log.push(Buffer.from("b".repeat(5000)));
  assert.equal(log.lines().length, 201);
  assert.equal(log.lines().at(-1)?.length, 1024);
});

test("ConsoleLog leaves out what would act on a terminal", () => {
  const log = new ConsoleLog();
  log.push(Buffer.from("a\u001b[2Jb\u0007c\u009b31m\td\n"));
  assert.deepEqual(log.lines(), ["a[2Jbc31m\td"]);
});
