import assert from "node:assert/strict";
import { appendFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { MachineLog, readLog } from "./machine-log.ts";
import { TemporaryHome } from "./testing/temporary-home.ts";
import type { LogEntry } from "./types.ts";

const entry = (text: string | Uint8Array): LogEntry => ({
  stream: "stdout",
  time: 1,
  bytes: Buffer.from(text),
});

async function read(folder: string, ended: Promise<unknown>, follow = false): Promise<string[]> {
  const lines: string[] = [];
  for await (const { bytes } of readLog(folder, ended, { follow }))
    lines.push(Buffer.from(bytes).toString("latin1"));
  return lines;
}

test("what is written is read again, bytes that are no text included", async () => {
  using home = new TemporaryHome();
  await using log = new MachineLog(home.root);
  await log.append(entry("line\n"));
  await log.append(entry(Uint8Array.of(0xff, 0x00, 0x80)));
  await log.append(entry("\ufeffbom"));
  assert.deepEqual(await read(home.root, Promise.resolve()), [
    "line\n",
    "\xff\x00\x80",
    Buffer.from("\ufeffbom").toString("latin1"),
  ]);
});

test("a machine without output has an empty log, followed or not", async () => {
  using home = new TemporaryHome();
  assert.deepEqual(await read(home.root, new Promise(() => {})), []);
  assert.deepEqual(await read(home.root, Promise.resolve(), true), []);
});

test("following starts before the first entry and goes on to the last one", async () => {
  using home = new TemporaryHome();
  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const reading = read(home.root, ended, true);
  await using log = new MachineLog(home.root);
  for (const word of ["a", "b", "c"]) {
    await log.append(entry(word));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await log.append(entry("last"));
  end();
  assert.deepEqual(await reading, ["a", "b", "c", "last"]);
});

test("a long log is rotated: bounded on disk, and followed across the change", async () => {
  using home = new TemporaryHome();
  const megabyte = "x".repeat(1024 * 1024 - 200);
  let end = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  let followed = 0;
  const following = (async () => {
    for await (const _ of readLog(home.root, ended, { follow: true })) followed++;
  })();
  await using log = new MachineLog(home.root);
  for (let i = 0; i < 20; i++) await log.append(entry(megabyte));
  await new Promise((resolve) => setTimeout(resolve, 100));
  end();
  await following;
  assert.equal(followed, 20);
  const kept = (await read(home.root, Promise.resolve())).length;
  assert.equal(kept, 20);
  for (let i = 0; i < 20; i++) await log.append(entry(megabyte));
  const size = ["log.jsonl", "log.1.jsonl"].map((name) => statSync(join(home.root, name)).size);
  assert.ok(Math.max(...size) < 18 * 1024 * 1024, String(size));
});

test("lines that are no entries are passed over", async () => {
  using home = new TemporaryHome();
  await using log = new MachineLog(home.root);
  await log.append(entry("good"));
  appendFileSync(
    join(home.root, "log.jsonl"),
    `broken\n{"time":"x"}\nnull\n${"y".repeat(2 * 1024 * 1024)}\n`,
  );
  await log.append(entry("after"));
  assert.deepEqual(await read(home.root, Promise.resolve()), ["good", "after"]);
});

test("an aborted follower rejects", async () => {
  using home = new TemporaryHome();
  const abort = new AbortController();
  const reading = (async () => {
    for await (const _ of readLog(home.root, new Promise(() => {}), { follow: true, signal: abort.signal }));
  })();
  setTimeout(() => abort.abort(), 10);
  await assert.rejects(reading, { code: "ABORTED" });
});
