import assert from "node:assert/strict";
import { test } from "node:test";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import type { DirectoryNode, TreeNode } from "../tree.ts";
import { directory, file, metadata, patternSource } from "./testing/make-tree.ts";
import { MemoryImage } from "./testing/memory-image.ts";
import { type ErofsOptions, writeErofs } from "./write-erofs.ts";

function assertRefused(entries: Record<string, TreeNode>, message: RegExp, options?: ErofsOptions): void {
  const image = new MemoryImage();
  assert.throws(
    () => writeErofs(directory({ d: directory(entries) }), image, options),
    (error) => {
      assert.ok(error instanceof SupermachineError);
      assert.equal(error.code, "ROOTFS_LIMIT");
      assert.match(error.message, message);
      return true;
    },
  );
  assert.equal(image.length, 0, "nothing may be written before a refusal");
}

test("writeErofs() refuses names that are too long or no names", () => {
  assertRefused({ ["n".repeat(256)]: file("") }, /\/d .* has 256 bytes, at most 255 fit/);
  assertRefused({ "a/b": file("") }, /has a slash or NUL byte/);
  assertRefused({ "a\0": file("") }, /has a slash or NUL byte/);
  assertRefused({ "\u0100": file("") }, /is not a string of bytes/);
  for (const name of ["", ".", ".."]) assertRefused({ [name]: file("") }, /is not a file name/);
});

test("writeErofs() refuses link targets that Linux would not follow", () => {
  const link = (target: string): TreeNode => ({ type: "symlink", target, ...metadata() });
  assertRefused({ x: link("") }, /\/d\/x .* link target is empty/);
  assertRefused({ x: link("t".repeat(4096)) }, /has 4096 bytes, at most 4095 fit/);
  assertRefused({ x: link("a\0b") }, /NUL/);
});

test("writeErofs() refuses attributes that do not fit", () => {
  const withXattrs = (...xattrs: [string, Uint8Array][]): TreeNode => file("", { xattrs: new Map(xattrs) });
  assertRefused({ x: withXattrs(["user.a", new Uint8Array(65_536)]) }, /has 65536 bytes, at most 65535 fit/);
  assertRefused({ x: withXattrs([`user.${"a".repeat(251)}`, new Uint8Array(1)]) }, /more than 255 bytes/);
  assertRefused({ x: withXattrs(["user.a\0", new Uint8Array(1)]) }, /NUL/);
  const many = Array.from({ length: 5 }, (_, index): [string, Uint8Array] => [
    `user.${index}`,
    new Uint8Array(60_000),
  ]);
  assertRefused({ x: withXattrs(...many) }, /attributes take 3000\d\d bytes together/);
});

test("writeErofs() refuses numbers outside their fields", () => {
  assertRefused({ x: file("", { uid: 2 ** 32 }) }, /owner 4294967296:0/);
  assertRefused({ x: file("", { gid: -1 }) }, /owner 0:-1/);
  assertRefused({ x: file("", { mode: 0o10000 }) }, /mode/);
  assertRefused({ x: file("", { mtime: { seconds: 0, nanoseconds: 1e9 } }) }, /time/);
  assertRefused({ x: file("", { mtime: { seconds: 2 ** 60, nanoseconds: 0 } }) }, /time/);
  assertRefused({ x: { type: "block-device", major: 4096, minor: 0, ...metadata() } }, /4096:0/);
  assertRefused({ x: { type: "character-device", major: 0, minor: 2 ** 20, ...metadata() } }, /0:1048576/);
  assertRefused({ x: file({ size: 2 ** 53, extents: [] }) }, /size/);
});

test("writeErofs() refuses an image of more than 16 TiB, by the file that passes it", () => {
  const huge = (): TreeNode => file({ size: 2 ** 43, extents: [[0, 2 ** 43]] });
  assertRefused({ a: huge(), b: huge() }, /\/d\/b .* would take \d+ bytes with it, at most 17592186040320/);
});

test("writeErofs() refuses an image longer than its caller allows, holes included", () => {
  const mebibyte = (): TreeNode => file({ size: 1 << 20, extents: [[0, 1 << 20]] });
  const scattered = Array.from({ length: 1000 }, (_, index): [number, number] => [index * 2 ** 42, 1]);
  assertRefused({ a: mebibyte(), b: mebibyte() }, /\/d\/b .* at most 2000000 are allowed/, {
    maxLength: 2e6,
  });
  assertRefused({ sparse: file({ size: 2 ** 52, extents: scattered }) }, /\/d\/sparse .* allowed/, {
    maxLength: 2 ** 30,
  });
});

test("writeErofs() takes misuse of the tree as the caller's fault", () => {
  const twice = directory({});
  assert.throws(() => writeErofs(directory({ a: twice, b: twice }), new MemoryImage()), TypeError);
  const cycle: DirectoryNode = directory({});
  cycle.entries.set("again", cycle);
  assert.throws(() => writeErofs(cycle, new MemoryImage()), TypeError);
  const source = patternSource(1);
  const extents = [
    { offset: 5, length: 10, source, position: 0 },
    { offset: 14, length: 1, source, position: 0 },
  ];
  const overlapping: TreeNode = { type: "file", size: 20, extents, ...metadata() };
  assert.throws(() => writeErofs(directory({ overlapping }), new MemoryImage()), RangeError);
  const beyond: TreeNode = { type: "file", size: 14, extents: extents.slice(0, 1), ...metadata() };
  assert.throws(() => writeErofs(directory({ beyond }), new MemoryImage()), RangeError);
});

test("writeErofs() is not stopped by 100,000 nested directories", () => {
  let root = directory({ leaf: file("x") });
  for (let depth = 0; depth < 100_000; depth++) root = directory({ d: root });
  assert.equal(writeErofs(root, new MemoryImage()).inodeCount, 100_002);
});
