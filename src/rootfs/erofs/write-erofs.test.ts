import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { DirectoryNode, NodeMetadata, TreeNode } from "../tree.ts";
import { describeTree } from "./testing/describe-tree.ts";
import { directory, file } from "./testing/make-tree.ts";
import { MemoryImage } from "./testing/memory-image.ts";
import { oddTree } from "./testing/odd-tree.ts";
import { readErofs } from "./testing/read-erofs.ts";
import { type ErofsOptions, type ErofsSummary, writeErofs } from "./write-erofs.ts";

function write(root: DirectoryNode, options?: ErofsOptions): { image: MemoryImage; summary: ErofsSummary } {
  const image = new MemoryImage();
  const summary = writeErofs(root, image, options);
  assert.equal(image.length, summary.length);
  assert.equal(summary.length % 4096, 0);
  return { image, summary };
}

function assertRoundTrip(root: DirectoryNode): { image: MemoryImage; summary: ErofsSummary } {
  const result = write(root);
  assert.deepEqual(describeTree(readErofs(result.image)), describeTree(root));
  return result;
}

test("writeErofs() keeps an empty root directory", () => {
  const { summary } = assertRoundTrip(directory({}));
  assert.equal(summary.length, 8192);
  assert.equal(summary.inodeCount, 1);
});

test("writeErofs() keeps every kind of node with its metadata", () => {
  assertRoundTrip(oddTree());
});

test("writeErofs() sorts entries by bytes, with . and .. in their places", () => {
  const names = ["-", "!", ".a", "...", "a", "Z", "\xe9", "\x01", "aa", "a\xff", "a."];
  assertRoundTrip(directory(Object.fromEntries(names.map((name) => [name, file(name)]))));
});

test("writeErofs() spreads a large directory over blocks", () => {
  const entries: Record<string, TreeNode> = {};
  for (let index = 0; index < 3000; index++) entries[`${index}${"n".repeat(index % 240)}`] = file(`${index}`);
  assertRoundTrip(directory({ many: directory(entries), exact: directory(exactlyOneBlock()) }));
});

test("writeErofs() never lets inline data cross a block boundary", () => {
  const entries: Record<string, TreeNode> = {};
  for (let size = 0; size <= 4100; size += 10)
    entries[`${size}`] = file({ size, extents: [[0, size]] }, { uid: size % 20 === 0 ? 70_000 : 0 });
  assertRoundTrip(directory(entries));
});

test("writeErofs() stores a node with several names once", () => {
  const shared = file("shared", { mode: 0o600 });
  const { image, summary } = assertRoundTrip(
    directory({ a: shared, b: directory({ c: shared, d: shared }), e: directory({}) }),
  );
  assert.equal(summary.inodeCount, 4);
  const root = readErofs(image);
  assert.equal(root.entries.get("a"), (root.entries.get("b") as DirectoryNode).entries.get("d"));
});

test("writeErofs() keeps attributes, those of several inodes only once", () => {
  const value = new Uint8Array(3000).fill(7);
  const xattrs = new Map([
    ["user.big", value],
    ["user.", new Uint8Array(1)],
    ["security.capability", Uint8Array.of(1, 0, 0, 2, 0, 4, 0, 0)],
    ["trusted.overlay.opaque", Uint8Array.of(0x79)],
    ["system.posix_acl_access", Uint8Array.of(2, 0, 0, 0)],
    ["com.example.foreign", Uint8Array.of(1)],
  ]);
  const kept = new Map([...xattrs].filter(([name]) => name !== "user." && !name.startsWith("com.")));
  const entries = (map: NodeMetadata["xattrs"]): DirectoryNode => {
    const make = (own: number): TreeNode =>
      file("x", { xattrs: new Map([...map, ["user.own", Uint8Array.of(own)]]) });
    return directory(Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`${index}`, make(index)])));
  };
  const { image, summary } = write(entries(xattrs));
  assert.deepEqual(describeTree(readErofs(image)), describeTree(entries(kept)));
  assert.deepEqual([...summary.unsupportedXattrs].sort(), ["com.example.foreign", "user."]);
  assert.ok(summary.length < 5 * 4096, `${summary.length} bytes`);
});

test("writeErofs() keeps 200 shared attributes on one inode", () => {
  const xattrs = new Map(
    Array.from({ length: 200 }, (_, index) => [`user.a${index}`, new Uint8Array(20).fill(index)]),
  );
  assertRoundTrip(directory({ a: file("a", { xattrs }), b: file("b", { xattrs }) }));
});

test("writeErofs() gives a hole of a TiB no space", () => {
  const size = 2 ** 40 + 5;
  const { image, summary } = assertRoundTrip(
    directory({
      sparse: file({
        size,
        extents: [
          [2 ** 30 + 17, 100_000],
          [size - 3, 3],
        ],
      }),
      hole: file({ size: 2 ** 41, extents: [] }),
      after: file("after"),
    }),
  );
  assert.ok(summary.length < 16 << 20, `${summary.length} bytes`);
  assert.ok(image.written < 8 << 20, `${image.written} bytes written`);
});

test("writeErofs() leaves file data at block boundaries and whole, so that it can be mapped", () => {
  const { image } = write(directory({ a: file({ size: 5000, extents: [[0, 5000]] }) }));
  const found = readErofs(image).entries.get("a");
  assert.ok(found?.type === "file");
  assert.equal(found.extents.length, 1);
  assert.equal((found.extents[0]?.position ?? 1) % 4096, 0);
});

test("writeErofs() writes the same bytes for the same tree, however its entries were added", () => {
  const nodes: [string, TreeNode][] = [
    ["b", file("b", { mtime: { seconds: 5, nanoseconds: 0 } })],
    ["a", directory({ x: file({ size: 10_000, extents: [[0, 9000]] }) })],
    ["c", file("c", { xattrs: new Map([["user.k", Uint8Array.of(1)]]) })],
  ];
  const forth = write(directory(Object.fromEntries(nodes)));
  const back = write(directory(Object.fromEntries(nodes.toReversed())));
  assert.deepEqual(forth.image.toBytes(), back.image.toBytes());
});

test("writeErofs() derives the UUID from the tree, or takes the given one", () => {
  const one = write(directory({ a: file("1") })).summary.uuid;
  const other = write(directory({ b: file("1") })).summary.uuid;
  assert.notDeepEqual(one, other);
  const uuid = new Uint8Array(16).fill(9);
  const { image } = write(directory({}), { uuid });
  assert.deepEqual(image.toBytes().subarray(1024 + 48, 1024 + 64), uuid);
  assert.throws(() => write(directory({}), { uuid: new Uint8Array(15) }), RangeError);
});

test("writeErofs() reports its progress up to the image's length", () => {
  const seen: number[] = [];
  const { summary } = write(directory({ a: file({ size: 5 << 20, extents: [[0, 5 << 20]] }) }), {
    onProgress: (done, total) => seen.push(done, total),
  });
  assert.equal(seen.at(-2), summary.length);
  assert.equal(seen.at(-1), summary.length);
  assert.ok(seen.length >= 10);
});

test("writeErofs() round-trips any tree", () => {
  fc.assert(
    fc.property(anyTree, ({ root, links }) => {
      addLinks(root, links);
      assertRoundTrip(root);
    }),
    { numRuns: 100 },
  );
});

/** Entries that fill a block to its last byte. */
function exactlyOneBlock(): Record<string, TreeNode> {
  // "." and ".." take 12 + 1 and 12 + 2; 15 names of 255 and one for the rest.
  const entries: Record<string, TreeNode> = {};
  for (let index = 0; index < 15; index++) entries[String(index).padEnd(255, "x")] = file("");
  entries["z".repeat(4096 - 27 - 15 * 267 - 12)] = file("");
  return entries;
}

const anyBytes = (minLength: number, maxLength: number) =>
  fc
    .uint8Array({ minLength, maxLength })
    .map((bytes) => [...bytes].map((byte) => String.fromCharCode(byte)).join(""));

const anyName = fc
  .oneof(anyBytes(1, 20), anyBytes(200, 255))
  .map((name) => name.replaceAll("/", "_").replaceAll("\0", "0"))
  .filter((name) => name !== "." && name !== "..");

const anyXattrs = fc
  .array(
    fc.tuple(
      fc.constantFrom("user.a", "user.b", "security.capability", "trusted.x", "system.posix_acl_default"),
      fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.constantFrom(new Uint8Array(5000), new Uint8Array(20))),
    ),
    { maxLength: 4 },
  )
  .map((entries) => new Map(entries));

const anyMetadata = fc.record({
  mode: fc.nat(0o7777),
  uid: fc.oneof(fc.constant(0), fc.nat(0xffff_ffff)),
  gid: fc.oneof(fc.constant(0), fc.nat(0xffff_ffff)),
  mtime: fc.oneof(
    fc.constant({ seconds: 1_700_000_000, nanoseconds: 0 }),
    fc.record({ seconds: fc.integer({ min: -(2 ** 40), max: 2 ** 40 }), nanoseconds: fc.nat(999_999_999) }),
  ),
  xattrs: fc.oneof({ weight: 2, arbitrary: fc.constant(new Map()) }, { weight: 1, arbitrary: anyXattrs }),
});

const anyFile = fc
  .record({
    metadata: anyMetadata,
    seed: fc.nat(),
    pieces: fc.array(
      fc.tuple(
        fc.oneof(fc.constant(0), fc.nat(5000), fc.nat(400_000), fc.nat(2 ** 28)),
        fc.oneof(fc.nat(300), fc.nat(9000)),
      ),
      { maxLength: 5 },
    ),
    tail: fc.oneof(fc.constant(0), fc.nat(100_000)),
  })
  .map(({ metadata: values, seed, pieces, tail }) => {
    let size = 0;
    const extents: [number, number][] = [];
    for (const [gap, length] of pieces) {
      extents.push([size + gap, length]);
      size += gap + length;
    }
    return file({ size: size + tail, extents, seed }, values);
  });

const anyLeaf: fc.Arbitrary<TreeNode> = fc.oneof(
  anyFile,
  fc
    .tuple(anyMetadata, fc.oneof(anyBytes(1, 60), anyBytes(3900, 4095)))
    .map(
      ([values, target]): TreeNode => ({ type: "symlink", target: target.replaceAll("\0", "0"), ...values }),
    ),
  fc.tuple(anyMetadata, fc.nat(0xfff), fc.nat(0xfffff), fc.boolean()).map(
    ([values, major, minor, block]): TreeNode => ({
      type: block ? "block-device" : "character-device",
      major,
      minor,
      ...values,
    }),
  ),
  fc
    .tuple(anyMetadata, fc.boolean())
    .map(([values, pipe]): TreeNode => ({ type: pipe ? "fifo" : "socket", ...values })),
);

const { anyDirectory } = fc.letrec<{ anyDirectory: DirectoryNode }>((tie) => ({
  anyDirectory: fc
    .tuple(
      anyMetadata,
      fc.array(
        fc.tuple(anyName, fc.oneof({ maxDepth: 3, depthSize: "small" }, anyLeaf, tie("anyDirectory"))),
        {
          maxLength: 25,
        },
      ),
    )
    .map(([values, entries]) => ({ type: "directory", entries: new Map(entries), ...values })),
}));

const anyTree = fc.record({
  root: anyDirectory,
  links: fc.array(fc.tuple(fc.nat(), fc.nat(), anyName), { maxLength: 5 }),
});

/** Gives nodes further names; the numbers choose the node and the directory. */
function addLinks(root: DirectoryNode, links: readonly [number, number, string][]): void {
  const leaves: TreeNode[] = [];
  const directories: DirectoryNode[] = [root];
  for (const found of directories)
    for (const node of found.entries.values())
      if (node.type === "directory") directories.push(node);
      else leaves.push(node);
  for (const [from, to, name] of links) {
    const node = leaves[from % Math.max(leaves.length, 1)];
    const target = directories[to % directories.length];
    if (node !== undefined && target !== undefined && !target.entries.has(name))
      target.entries.set(name, node);
  }
}
