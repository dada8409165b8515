import assert from "node:assert/strict";
import { test } from "node:test";
import { readTar } from "../../tar/read-tar.ts";
import { concat, member, pax, sourceOf, type TarMember, tarOf } from "../../tar/testing/tar-builder.ts";
import type { DirectoryNode, TreeNode } from "../tree.ts";
import { LayeredTree } from "./layered-tree.ts";

const directory = (name: string, mode = 0o755): TarMember => ({ name: `${name}/`, typeflag: "5", mode });
const file = (name: string, data = name): TarMember => ({ name, data });
const link = (name: string, linkName: string): TarMember => ({ name, typeflag: "2", linkName });
const hardLink = (name: string, linkName: string): TarMember => ({ name, typeflag: "1", linkName });
const whiteout = (name: string): TarMember => file(name, "");

test("a layer's files come above those of lower layers, whatever type they had", () => {
  const tree = merge(
    [directory("a"), file("a/x"), file("b"), link("c", "a"), directory("d"), file("d/y"), file("e")],
    [
      file("a", "now a file"),
      directory("b"),
      file("b/inside"),
      directory("c"),
      link("d", "a"),
      file("e", "new"),
    ],
  );
  assert.deepEqual(list(tree), {
    a: "file now a file",
    b: "directory",
    "b/inside": "file b/inside",
    c: "directory",
    d: "symlink a",
    e: "file new",
  });
});

test("a directory above a directory keeps its content and gets the new metadata, xattrs included", () => {
  const tree = new LayeredTree();
  const first = tarOf(
    pax({ "SCHILY.xattr.user.old": "1" }),
    member(directory("d", 0o700)),
    member(file("d/x")),
  );
  const second = tarOf(
    pax({ "SCHILY.xattr.user.new": "2", mtime: "9.5" }),
    member({ ...directory("d", 0o1777), uid: 7 }),
  );
  for (const bytes of [first, second]) tree.apply(readTar(sourceOf(bytes), bytes.length));
  const node = tree.root.entries.get("d") as DirectoryNode;
  assert.deepEqual([node.mode, node.uid, node.mtime], [0o1777, 7, { seconds: 9, nanoseconds: 500000000 }]);
  assert.deepEqual([...node.xattrs.keys()], ["user.new"]);
  assert.deepEqual([...node.entries.keys()], ["x"]);
});

test("adding to a directory leaves its own time alone, and missing parents are 0755 and root's", () => {
  const tree = merge([{ ...directory("d", 0o700), mtime: 5 }], [file("d/x"), file("new/deep/x")]);
  const d = tree.entries.get("d");
  const made = tree.entries.get("new");
  assert.deepEqual([d?.mode, d?.mtime.seconds], [0o700, 5]);
  assert.deepEqual([made?.mode, made?.uid, made?.gid, made?.mtime.seconds], [0o755, 0, 0, 0]);
});

test("an entry for the root directory sets the root's metadata", () => {
  for (const name of ["./", "/", ".", "a/.."]) {
    const tree = merge([{ ...directory("x"), name, mode: 0o555, uid: 3 }]);
    assert.deepEqual([tree.mode, tree.uid, tree.entries.size], [0o555, 3, 0], name);
  }
});

test("a whiteout removes a lower file, link or whole directory, and nothing when there is none", () => {
  const tree = merge(
    [file("a"), link("l", "a"), directory("d"), file("d/x"), file("keep")],
    [whiteout(".wh.a"), whiteout(".wh.l"), whiteout(".wh.d"), whiteout(".wh.no"), whiteout("no/where/.wh.x")],
  );
  assert.deepEqual(list(tree), { keep: "file keep" });
});

test("a whiteout of a link removes the link, not what it leads to", () => {
  const tree = merge([directory("d"), file("d/x"), link("l", "d")], [whiteout(".wh.l")]);
  assert.deepEqual(list(tree), { d: "directory", "d/x": "file d/x" });
});

test("a whiteout leaves alone what its own layer brings, before or after it", () => {
  const lower = [file("f", "old"), directory("d"), file("d/old"), directory("d/sub"), file("d/sub/old")];
  const upper = [file("f", "new"), directory("d"), file("d/new"), directory("d/sub"), file("d/sub/new")];
  const whiteouts = [whiteout(".wh.f"), whiteout(".wh.d")];
  const expected = {
    d: "directory",
    "d/new": "file d/new",
    "d/sub": "directory",
    "d/sub/new": "file d/sub/new",
    f: "file new",
  };
  assert.deepEqual(list(merge(lower, [...whiteouts, ...upper])), expected);
  assert.deepEqual(list(merge(lower, [...upper, ...whiteouts])), expected);
});

test("an opaque directory hides all that lower layers have in it, wherever its marker stands", () => {
  const lower = [directory("d", 0o700), file("d/old"), directory("d/sub"), file("d/sub/old"), file("other")];
  const upper = [file("d/new"), directory("d/sub"), file("d/sub/new")];
  const marker = whiteout("d/.wh..wh..opq");
  const expected = {
    d: "directory",
    "d/new": "file d/new",
    "d/sub": "directory",
    "d/sub/new": "file d/sub/new",
    other: "file other",
  };
  for (const order of [
    [marker, ...upper],
    [...upper, marker],
    [upper[0], marker, upper[1], upper[2]],
  ]) {
    const tree = merge(lower, order as TarMember[]);
    assert.deepEqual(list(tree), expected);
    assert.equal(tree.entries.get("d")?.mode, 0o700);
  }
});

test("an opaque root empties the image", () => {
  assert.deepEqual(list(merge([file("a"), directory("d")], [file("b"), whiteout(".wh..wh..opq")])), {
    b: "file b",
  });
});

test("an opaque marker in a directory that replaced a link does not empty what the link led to", () => {
  const tree = merge(
    [directory("real"), file("real/x"), link("d", "real")],
    [directory("d"), whiteout("d/.wh..wh..opq"), file("d/y")],
  );
  assert.deepEqual(list(tree), {
    d: "directory",
    "d/y": "file d/y",
    real: "directory",
    "real/x": "file real/x",
  });
});

test("AUFS's own files never become content", () => {
  assert.deepEqual(
    list(merge([whiteout(".wh..wh.aufs"), directory(".wh..wh.plnk"), file(".wh..wh.plnk/1.2")])),
    {},
  );
});

test("hard links are one node, also to a lower layer's file, and go apart when one name is replaced", () => {
  const tree = merge([file("a"), hardLink("b", "a")], [hardLink("c", "/b")], [file("a", "new")]);
  assert.equal(tree.entries.get("b"), tree.entries.get("c"));
  assert.notEqual(tree.entries.get("a"), tree.entries.get("b"));
  assert.deepEqual(list(tree), { a: "file new", b: "file a", c: "file a" });
});

test("a hard link to a symbolic link is that link", () => {
  const tree = merge([link("l", "nowhere"), hardLink("h", "l")]);
  assert.equal(tree.entries.get("l"), tree.entries.get("h"));
});

test("a hard link keeps its target's node when a whiteout of its layer takes the target's name", () => {
  const tree = merge([file("a")], [hardLink("b", "a"), whiteout(".wh.a")]);
  assert.deepEqual(list(tree), { b: "file a" });
});

test("a layer writes through a link that a lower layer made, and never out of the tree", () => {
  const tree = merge(
    [
      directory("usr"),
      directory("usr/bin"),
      link("bin", "usr/bin"),
      link("abs", "/usr"),
      link("out", "../../../../usr"),
      link("dangling", "made/here"),
    ],
    [file("bin/a"), file("abs/b"), file("out/c"), file("dangling/d"), hardLink("e", "bin/a")],
  );
  assert.deepEqual(list(tree), {
    abs: "symlink /usr",
    bin: "symlink usr/bin",
    dangling: "symlink made/here",
    e: "file bin/a",
    made: "directory",
    "made/here": "directory",
    "made/here/d": "file dangling/d",
    out: "symlink ../../../../usr",
    usr: "directory",
    "usr/b": "file abs/b",
    "usr/bin": "directory",
    "usr/bin/a": "file bin/a",
    "usr/c": "file out/c",
  });
});

test("a whiteout works through a link in its parent", () => {
  const tree = merge([directory("usr"), file("usr/x"), link("l", "usr")], [whiteout("l/.wh.x")]);
  assert.deepEqual(list(tree), { l: "symlink usr", usr: "directory" });
});

test("names are cleaned: absolute ones, dots, double slashes and '..' stay inside", () => {
  const tree = merge([
    file("/abs"),
    file("./dot"),
    file("a//b"),
    file("../../up"),
    file("a/../c"),
    file("/../d"),
  ]);
  assert.deepEqual(Object.keys(list(tree)), ["a", "a/b", "abs", "c", "d", "dot", "up"]);
});

test("the last of several entries with one name wins, set-id bits and all", () => {
  const tree = merge([file("x", "1"), { ...file("x", "2"), mode: 0o6755 }, link("y", "x"), file("y", "3")]);
  assert.deepEqual(list(tree), { x: "file 2", y: "file 3" });
  assert.equal(tree.entries.get("x")?.mode, 0o6755);
});

test("only extended attributes that Linux can have are kept", () => {
  const names = ["user.a", "trusted.b", "security.capability", "system.posix_acl_access"];
  const dropped = ["security.selinux", "com.apple.quarantine", "system.nfs4_acl", "user", "system.other"];
  const records = Object.fromEntries([...names, ...dropped].map((name) => [`SCHILY.xattr.${name}`, "x"]));
  const bytes = tarOf(concat(pax(records), member(file("f"))));
  const tree = new LayeredTree();
  tree.apply(readTar(sourceOf(bytes), bytes.length));
  assert.deepEqual([...(tree.root.entries.get("f")?.xattrs.keys() ?? [])].sort(), names.toSorted());
});

function merge(...layers: readonly (readonly TarMember[])[]): DirectoryNode {
  const tree = new LayeredTree();
  for (const members of layers) {
    const bytes = tarOf(...members.map(member));
    tree.apply(readTar(sourceOf(bytes), bytes.length));
  }
  return tree.root;
}

/** Everything below a directory by its path, with what it holds, in order of the paths. */
function list(root: DirectoryNode): Record<string, string> {
  const found: [string, string][] = [];
  const walk = (node: DirectoryNode, prefix: string): void => {
    for (const [name, child] of node.entries) {
      found.push([prefix + name, describe(child)]);
      if (child.type === "directory") walk(child, `${prefix}${name}/`);
    }
  };
  walk(root, "");
  return Object.fromEntries(found.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function describe(node: TreeNode): string {
  if (node.type === "symlink") return `symlink ${node.target}`;
  if (node.type !== "file") return node.type;
  const data = new Uint8Array(node.size);
  for (const { source, position, offset, length } of node.extents)
    source.read(position, data.subarray(offset, offset + length));
  return `file ${new TextDecoder().decode(data)}`;
}
