import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import { readTar } from "../../tar/read-tar.ts";
import { member, pax, sourceOf, type TarMember, tarOf } from "../../tar/testing/tar-builder.ts";
import type { DirectoryNode } from "../tree.ts";
import { LayeredTree, type TreeLimits } from "./layered-tree.ts";

const hostile: Readonly<
  Record<
    string,
    { members: readonly TarMember[]; entry: string; message: RegExp; limits?: Partial<TreeLimits> }
  >
> = {
  "a root directory replaced by a link": {
    members: [{ name: "/", typeflag: "2", linkName: "/etc" }],
    entry: "/",
    message: /replace the root directory/,
  },
  "a file whose name is only dots": {
    members: [{ name: "a/../..", data: "x" }],
    entry: "a/../..",
    message: /replace the root directory/,
  },
  "a file below a file": {
    members: [{ name: "a" }, { name: "a/b" }],
    entry: "a/b",
    message: /inside of 'a', which is not a directory/,
  },
  "a file below a link to a file": {
    members: [{ name: "f" }, { name: "l", typeflag: "2", linkName: "f" }, { name: "l/x" }],
    entry: "l/x",
    message: /inside of 'f', which is not a directory/,
  },
  "a loop of links": {
    members: [
      { name: "a", typeflag: "2", linkName: "b" },
      { name: "b", typeflag: "2", linkName: "a" },
      { name: "a/x" },
    ],
    entry: "a/x",
    message: /loop of symbolic links/,
  },
  "a link to itself with a tail that grows": {
    members: [{ name: "a", typeflag: "2", linkName: "a/a" }, { name: "a/x" }],
    entry: "a/x",
    message: /loop of symbolic links/,
  },
  "a hard link to nothing": {
    members: [{ name: "h", typeflag: "1", linkName: "gone" }],
    entry: "h",
    message: /hard link to 'gone', which does not exist/,
  },
  "a hard link out of the tree": {
    members: [{ name: "h", typeflag: "1", linkName: "../../../etc/shadow" }],
    entry: "h",
    message: /does not exist/,
  },
  "a hard link to a directory": {
    members: [
      { name: "d/", typeflag: "5" },
      { name: "h", typeflag: "1", linkName: "d" },
    ],
    entry: "h",
    message: /which is a directory/,
  },
  "a hard link to the root directory": {
    members: [{ name: "h", typeflag: "1", linkName: "/.." }],
    entry: "h",
    message: /root directory/,
  },
  "a hard link to itself": {
    members: [{ name: "x" }, { name: "x", typeflag: "1", linkName: "x" }],
    entry: "x",
    message: /does not exist/,
  },
  "a hard link that replaces the directory with its target": {
    members: [{ name: "d/x" }, { name: "d", typeflag: "1", linkName: "d/x" }],
    entry: "d",
    message: /does not exist/,
  },
  "a symbolic link to nothing": {
    members: [{ name: "l", typeflag: "2" }],
    entry: "l",
    message: /link to nothing/,
  },
  "a whiteout without a name": {
    members: [{ name: "d/.wh." }],
    entry: "d/.wh.",
    message: /whiteout of an impossible name/,
  },
  "a whiteout of the directory it is in": {
    members: [{ name: "d/.wh.." }],
    entry: "d/.wh..",
    message: /whiteout of an impossible name/,
  },
  "a whiteout of the directory above": {
    members: [{ name: "d/.wh..." }],
    entry: "d/.wh...",
    message: /whiteout of an impossible name/,
  },
  "a file inside of a whiteout": {
    members: [{ name: ".wh.d/x" }],
    entry: ".wh.d/x",
    message: /inside of a whiteout/,
  },
  "a device number beyond Linux": {
    members: [{ name: "dev", typeflag: "3", major: 4096, minor: 0 }],
    entry: "dev",
    message: /impossible device number/,
  },
  "more files than allowed": {
    members: [{ name: "a" }, { name: "b/c/d" }],
    limits: { maxInodes: 4 },
    entry: "b/c/d",
    message: /past 4 files/,
  },
  "directories deeper than allowed, by way of a link": {
    members: [{ name: "a/b/c/d" }, { name: "l", typeflag: "2", linkName: "a/b/c" }, { name: "l/e/f/g/h" }],
    limits: { maxDepth: 5 },
    entry: "l/e/f/g/h",
    message: /more than 5 directories deep/,
  },
};

for (const [name, { members, entry, message, limits }] of Object.entries(hostile))
  test(`LayeredTree refuses ${name}`, () => {
    assert.throws(
      () => apply(new LayeredTree(limits), members),
      (error: SupermachineError) => {
        assert.equal(error.code, "ARCHIVE_INVALID");
        assert.equal(error.data["entry"], entry);
        assert.equal(typeof error.data["offset"], "number");
        assert.match(error.message, message);
        return error instanceof SupermachineError;
      },
    );
  });

test("a link target longer than Linux allows is refused", () => {
  const bytes = tarOf(pax({ linkpath: "t".repeat(4096) }), member({ name: "l", typeflag: "2" }));
  assert.throws(
    () => new LayeredTree().apply(readTar(sourceOf(bytes), bytes.length)),
    /more than 4095 bytes/,
  );
});

test("resolving links is bounded in work, not only in links", () => {
  const target = "d/../".repeat(800);
  const members: TarMember[] = [{ name: "d/", typeflag: "5" }];
  const layer = [
    ...members.map(member),
    ...Array.from({ length: 30 }, (_, index) => [
      pax({ linkpath: `${target}l${index + 1}` }),
      member({ name: `l${index}`, typeflag: "2" }),
    ]).flat(),
    member({ name: "l0/x" }),
  ];
  const bytes = tarOf(...layer);
  assert.throws(
    () => new LayeredTree().apply(readTar(sourceOf(bytes), bytes.length)),
    /too long a chain of symbolic links/,
  );
});

test("a tree as deep as a name can be is read, whited out and dropped without exhausting the stack", () => {
  const deep = "d/".repeat(2040);
  const bytes = tarOf(pax({ path: `${deep}x` }), member({ name: "cut" }));
  const tree = new LayeredTree();
  tree.apply(readTar(sourceOf(bytes), bytes.length));
  const upper = tarOf(pax({ path: `${deep}y` }), member({ name: "cut" }), member({ name: ".wh..wh..opq" }));
  tree.apply(readTar(sourceOf(upper), upper.length));
  let node: DirectoryNode = tree.root;
  for (let depth = 0; depth < 2040; depth++) node = node.entries.get("d") as DirectoryNode;
  assert.deepEqual([...node.entries.keys()], ["y"]);
});

test("any sequence of entries gives a finite tree or ARCHIVE_INVALID", () => {
  const name = fc
    .array(fc.constantFrom("a", "b", "c", "..", ".", "", ".wh.a", ".wh..wh..opq"), {
      minLength: 1,
      maxLength: 5,
    })
    .map((names) => names.join("/"));
  const entry = fc.record({
    name,
    typeflag: fc.constantFrom("0", "1", "2", "5", "6"),
    linkName: fc.oneof(
      name,
      name.map((text) => `/${text}`),
    ),
  });
  fc.assert(
    fc.property(fc.array(fc.array(entry, { maxLength: 15 }), { maxLength: 3 }), (layers) => {
      const tree = new LayeredTree();
      try {
        for (const members of layers) apply(tree, members);
      } catch (error) {
        if (!(error instanceof SupermachineError) || error.code !== "ARCHIVE_INVALID") throw error;
      }
      assertIsTree(tree.root, new Set());
    }),
    { numRuns: 1000 },
  );
});

test("the order of a layer's entries does not matter where each directory stands before what is in it", () => {
  const lower: TarMember[] = [
    { name: "d/", typeflag: "5" },
    { name: "d/x", data: "old" },
    { name: "d/e/", typeflag: "5" },
    { name: "d/e/y" },
    { name: "f" },
  ];
  const upper: TarMember[] = [
    { name: "d/x", data: "new" },
    { name: "d/.wh..wh..opq" },
    { name: "d/z" },
    { name: ".wh.f" },
    { name: "f", data: "new" },
    { name: "d/.wh.e" },
  ];
  const expected = names(upper, lower);
  fc.assert(
    fc.property(fc.shuffledSubarray(upper, { minLength: upper.length }), (shuffled) => {
      assert.deepEqual(names(shuffled, lower), expected);
    }),
    { numRuns: 100 },
  );
});

function names(upper: readonly TarMember[], lower: readonly TarMember[]): string[] {
  const tree = new LayeredTree();
  apply(tree, lower);
  apply(tree, [{ name: "d/", typeflag: "5" }, ...upper]);
  const found: string[] = [];
  const walk = (node: DirectoryNode, prefix: string): void => {
    for (const [name, child] of node.entries) {
      found.push(`${prefix}${name} ${child.type === "file" ? child.size : child.type}`);
      if (child.type === "directory") walk(child, `${prefix}${name}/`);
    }
  };
  walk(tree.root, "");
  return found.sort();
}

function apply(tree: LayeredTree, members: readonly TarMember[]): void {
  const bytes = tarOf(...members.map(member));
  tree.apply(readTar(sourceOf(bytes), bytes.length));
}

/** Every directory is reached once, and no name could lead elsewhere. */
function assertIsTree(directory: DirectoryNode, seen: Set<DirectoryNode>): void {
  assert.ok(!seen.has(directory));
  seen.add(directory);
  for (const [name, node] of directory.entries) {
    assert.ok(
      name !== "" && name !== "." && name !== ".." && !name.includes("/") && !name.startsWith(".wh."),
    );
    if (node.type === "directory") assertIsTree(node, seen);
  }
}
