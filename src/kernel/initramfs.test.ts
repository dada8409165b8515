import assert from "node:assert/strict";
import { test } from "node:test";
import { composeInitramfs } from "./initramfs.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const names = (archive: Uint8Array) =>
  [
    ...Buffer.from(archive)
      .toString("latin1")
      .matchAll(/070701[0-9a-f]{104}([^\0]+)/g),
  ].map((match) => match[1]);

test("composeInitramfs() puts folders before their content", () => {
  const modules = new Map([
    ["virtio.ko", bytes("v")],
    ["order", bytes("base virtio.ko\n")],
  ]);
  assert.deepEqual(names(composeInitramfs({ agent: bytes("agent"), modules })), [
    "dev",
    "dev/console",
    "init",
    "modules",
    "modules/order",
    "modules/virtio.ko",
    "newroot",
    "proc",
    "sys",
    "TRAILER!!!",
  ]);
});

test("composeInitramfs() gives the same bytes in whatever order the modules come", () => {
  const files: [string, Uint8Array][] = [
    ["a.ko", bytes("a")],
    ["b.ko", bytes("b")],
  ];
  const agent = bytes("agent");
  assert.deepEqual(
    composeInitramfs({ agent, modules: new Map(files) }),
    composeInitramfs({ agent, modules: new Map(files.reverse()) }),
  );
});
