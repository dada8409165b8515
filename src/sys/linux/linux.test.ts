import assert from "node:assert/strict";
import { readFileSync, readlinkSync } from "node:fs";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import {
  MADV_DONTNEED,
  MAP_PRIVATE,
  MAP_SHARED,
  O_RDONLY,
  POLLIN,
  PROT_READ,
  PROT_WRITE,
  SIGURG,
} from "../../abi/linux.x64.generated.ts";
import { openResources } from "../open-resources.ts";
import { EventFd } from "./eventfd.ts";
import { createMemfd, OwnedFd, open, read, readAt, truncate, writeAt } from "./file.ts";
import { Mapping } from "./mapping.ts";
import { PollSet } from "./poll.ts";
import { blockSignal, signalThread, takeSignal, threadId } from "./thread.ts";

const skip = process.platform === "linux" && process.arch === "x64" ? false : "Linux on x86-64 only";

test("open() throws an error that names call, path and errno", { skip }, () => {
  assert.throws(() => open("/no/such/file", O_RDONLY), {
    code: "NATIVE_CALL_FAILED",
    message: "open /no/such/file failed: ENOENT",
    data: { call: "open /no/such/file", errno: "ENOENT" },
  });
});

test("a descriptor is closed once, and its number is not handed out afterwards", { skip }, () => {
  const before = openResources();
  const file = open("/dev/null", O_RDONLY);
  const number = file.fd;
  assert.equal(readlinkSync(`/proc/self/fd/${number}`), "/dev/null");
  assert.equal(openResources().fd, before.fd + 1);
  file[Symbol.dispose]();
  file[Symbol.dispose]();
  assert.throws(() => readlinkSync(`/proc/self/fd/${number}`), /ENOENT/);
  assert.throws(() => file.fd, TypeError);
  assert.deepEqual(openResources(), before);
  assert.throws(() => new OwnedFd(-1), RangeError);
});

test("two mappings of a memfd show the same bytes; a private one keeps its changes", { skip }, () => {
  using file = createMemfd("test");
  truncate(file.fd, 0x2000);
  const protection = PROT_READ | PROT_WRITE;
  using shared = Mapping.map(0x2000, { protection, flags: MAP_SHARED, fd: file.fd });
  using copy = Mapping.map(0x1000, { protection, flags: MAP_PRIVATE, fd: file.fd, offset: 0x1000 });
  const sharedBytes = shared.bytes();
  const copyBytes = copy.bytes();
  sharedBytes[0x1000] = 7;
  assert.equal(copyBytes[0], 7);
  copyBytes[0] = 8;
  assert.equal(sharedBytes[0x1000], 7);
  copy.advise(MADV_DONTNEED);
  assert.equal(copyBytes[0], 7);
  writeAt(file.fd, 0x10, Uint8Array.of(1, 2, 3));
  assert.deepEqual(sharedBytes.slice(0x10, 0x13), Uint8Array.of(1, 2, 3));
  const back = new Uint8Array(3);
  assert.equal(readAt(file.fd, 0x10, back), 3);
  assert.deepEqual(back, Uint8Array.of(1, 2, 3));
});

test("replace() changes what a mapping shows without moving it", { skip }, () => {
  using file = createMemfd("test");
  truncate(file.fd, 0x1000);
  writeAt(file.fd, 0, Uint8Array.of(9));
  using mapping = Mapping.anonymous(0x3000);
  const bytes = mapping.bytes();
  bytes.fill(5);
  mapping.replace(0x1000, 0x1000, { protection: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE, fd: file.fd });
  assert.deepEqual([bytes[0xfff], bytes[0x1000], bytes[0x1001], bytes[0x2000]], [5, 9, 0, 5]);
  for (const [at, length] of [
    [-1, 1],
    [0x2000, 0x1001],
    [0, 0],
    [0.5, 1],
  ] as const)
    assert.throws(() => mapping.replace(at, length, { protection: 0, flags: MAP_PRIVATE }), RangeError);
});

test("a mapping is gone once, and says so afterwards", { skip }, () => {
  const before = openResources();
  const mapping = Mapping.anonymous(0x1000);
  assert.equal(openResources().mapping, before.mapping + 1);
  mapping[Symbol.dispose]();
  mapping[Symbol.dispose]();
  assert.throws(() => mapping.address, TypeError);
  assert.throws(() => mapping.bytes(), TypeError);
  assert.deepEqual(openResources(), before);
});

test("bytes() shows any part of a large mapping, and nothing outside it", { skip }, () => {
  using mapping = Mapping.anonymous(7 * 2 ** 30);
  mapping.bytes(0, 3 * 2 ** 30)[2 ** 31 + 5] = 42;
  assert.equal(mapping.bytes(2 ** 31, 6)[5], 42);
  assert.equal(mapping.bytes(7 * 2 ** 30).length, 0);
  assert.throws(() => mapping.bytes(7 * 2 ** 30 - 1, 2), RangeError);
  assert.throws(() => mapping.bytes(-1, 2), RangeError);
});

test("an eventfd counts, and wakes a poll", { skip }, () => {
  using event = new EventFd();
  using other = new EventFd();
  const set = new PollSet([event.fd, other.fd], POLLIN);
  assert.deepEqual(set.wait(0), []);
  other.signal();
  other.signal();
  assert.deepEqual(set.wait(-1), [1]);
  assert.equal(other.take(), true);
  assert.equal(other.take(), false);
  assert.deepEqual(set.wait(0), []);
  assert.equal(read(event.fd, new Uint8Array(8)), -11);
});

test("a blocked signal waits until it is taken", { skip }, () => {
  blockSignal(SIGURG);
  assert.equal(takeSignal(SIGURG), false);
  assert.equal(signalThread(threadId(), SIGURG), true);
  assert.equal(takeSignal(SIGURG), true);
  assert.equal(takeSignal(SIGURG), false);
});

test("signalling a thread that is gone says so", { skip }, async () => {
  const door = new URL("./thread.js", import.meta.url).href;
  const script = `import(${JSON.stringify(door)}).then(({ threadId, nameThread }) => {
    nameThread("a-long-thread-name");
    const name = require("node:fs").readFileSync("/proc/self/task/" + threadId() + "/comm", "utf8");
    require("node:worker_threads").parentPort.postMessage({ id: threadId(), name });
  })`;
  const worker = new Worker(script, { eval: true });
  const { id, name } = await new Promise<{ id: number; name: string }>((resolve) =>
    worker.on("message", resolve),
  );
  assert.equal(name, "a-long-thread-n\n");
  await new Promise((resolve) => worker.on("exit", resolve));
  assert.equal(signalThread(id, SIGURG), false);
  assert.match(readFileSync("/proc/self/comm", "utf8"), /./);
});
