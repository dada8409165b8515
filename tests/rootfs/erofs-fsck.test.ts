// Our images before judges that we did not write: erofs-utils' checker, extractor and writer, and Linux itself.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { describeTree } from "../../src/rootfs/erofs/testing/describe-tree.ts";
import { oddTree } from "../../src/rootfs/erofs/testing/odd-tree.ts";
import { readErofs } from "../../src/rootfs/erofs/testing/read-erofs.ts";
import type { DirectoryNode } from "../../src/rootfs/tree.ts";
import { directoryTree } from "./directory-tree.ts";
import { ImageFile, writeImageFile } from "./erofs-image-file.ts";

const hasErofsUtils = spawnSync("mkfs.erofs", ["--help"]).error === undefined;
const withoutErofsUtils = hasErofsUtils ? false : "erofs-utils is not installed";
const canMount = process.getuid?.() === 0 && /\berofs$/m.test(read("/proc/filesystems"));
const withoutMount = canMount ? false : "mounting EROFS needs root and a kernel that has it";

/** Trees that every machine with this repository has: odd modes and links in the one, large files in the other. */
const realTrees = ["/etc", fs.realpathSync(path.join(import.meta.dirname, "../../../node_modules"))];

for (const tree of realTrees)
  test(`fsck.erofs finds ${path.basename(tree)} clean and extracts it unchanged`, {
    skip: withoutErofsUtils,
  }, () => {
    using scratch = new Scratch();
    const root = directoryTree(tree);
    const { length } = writeImageFile(root, scratch.path("image"));
    assert.equal(fs.statSync(scratch.path("image")).size, length);
    assertClean(scratch.path("image"), [`--extract=${scratch.path("out")}`, "--preserve"]);
    assert.deepEqual(comparable(directoryTree(scratch.path("out"))), comparable(root));
  });

test("fsck.erofs finds one of everything clean", { skip: withoutErofsUtils }, () => {
  using scratch = new Scratch();
  writeImageFile(oddTree(), scratch.path("image"));
  assertClean(scratch.path("image"), ["--extract"]);
});

test("fsck.erofs finds a damaged superblock, so its silence means something", {
  skip: withoutErofsUtils,
}, () => {
  using scratch = new Scratch();
  writeImageFile(oddTree(), scratch.path("image"));
  const fd = fs.openSync(scratch.path("image"), "r+");
  fs.writeSync(fd, Uint8Array.of(0xff), 0, 1, 1024 + 100);
  fs.closeSync(fd);
  assert.throws(() => assertClean(scratch.path("image")), /chksum doesn't match/);
});

test("our reader, which judges the unit tests, understands mkfs.erofs", { skip: withoutErofsUtils }, () => {
  using scratch = new Scratch();
  const [tree = ""] = realTrees;
  execFileSync("mkfs.erofs", ["--quiet", "-x-1", scratch.path("image"), tree]);
  using image = new ImageFile(scratch.path("image"));
  assert.deepEqual(describeTree(readErofs(image)), describeTree(directoryTree(tree)));
});

test("Linux mounts one of everything and shows it as it was", { skip: withoutMount }, () => {
  using scratch = new Scratch();
  const root = oddTree();
  // Linux can not read 3 TiB of holes in a moment; their metadata is compared, and the content by other tests.
  for (const name of ["sparse", "hole"]) root.entries.delete(name);
  writeImageFile(root, scratch.path("image"));
  using mounted = new Mount(scratch);
  assert.deepEqual(comparable(directoryTree(mounted.path)), comparable(root));
});

test("Linux reads a sparse file of a TiB", { skip: withoutMount }, () => {
  using scratch = new Scratch();
  writeImageFile(oddTree(), scratch.path("image"));
  using mounted = new Mount(scratch);
  const fd = fs.openSync(path.join(mounted.path, "sparse"), "r");
  const bytes = Buffer.alloc(100_002);
  fs.readSync(fd, bytes, 0, bytes.length, 2 ** 30 + 16);
  const end = Buffer.alloc(8);
  assert.equal(fs.readSync(fd, end, 0, 8, 2 ** 40), 5);
  fs.closeSync(fd);
  assert.equal(bytes[0], 0);
  assert.ok(bytes.subarray(1, 100_001).every((byte) => byte !== 0));
  assert.equal(bytes[100_001], 0);
  assert.deepEqual(
    [...end].map((byte) => byte !== 0),
    [false, false, true, true, true, false, false, false],
  );
});

test("Linux returns every extended attribute", { skip: withoutMount }, (t) => {
  if (spawnSync("getfattr", ["--version"]).error !== undefined) return t.skip("getfattr is not installed");
  using scratch = new Scratch();
  const root = oddTree();
  writeImageFile(root, scratch.path("image"));
  using mounted = new Mount(scratch);
  for (const name of ["manyXattrs", "sameXattrs", "linkWithXattr", "capability", "acl", "empty"]) {
    const expected = [...(root.entries.get(name)?.xattrs ?? [])].map(
      ([key, value]) => `${key}=0x${Buffer.from(value).toString("hex")}`,
    );
    assert.deepEqual(getXattrs(path.join(mounted.path, name)).sort(), expected.sort(), name);
  }
});

test("two conversions of one tree give the same bytes", () => {
  using scratch = new Scratch();
  const [tree = ""] = realTrees;
  writeImageFile(directoryTree(tree), scratch.path("one"));
  writeImageFile(directoryTree(tree), scratch.path("two"));
  assert.ok(fs.readFileSync(scratch.path("one")).equals(fs.readFileSync(scratch.path("two"))));
});

/** By its words: version 1.5 exits with 0 although it finds the superblock's checksum wrong. */
function assertClean(image: string, options: readonly string[] = []): void {
  const { stdout, stderr, status } = spawnSync("fsck.erofs", ["-d3", ...options, image], {
    encoding: "utf8",
  });
  assert.equal(status, 0, stdout + stderr);
  assert.match(stdout + stderr, /No errors? found|Extracted filesystem successfully/);
}

/** What Node can see of a tree: without extended attributes. */
function comparable(root: DirectoryNode): string[] {
  return describeTree(root, { xattrs: false });
}

function getXattrs(file: string): string[] {
  const output = execFileSync("getfattr", ["-h", "-d", "-m", "-", "-e", "hex", "--absolute-names", file], {
    encoding: "utf8",
  });
  return output.split("\n").filter((line) => line.includes("="));
}

/** A folder that is removed at the end of a test. */
class Scratch implements Disposable {
  readonly #folder = fs.mkdtempSync(path.join(os.tmpdir(), "supermachine-erofs-"));

  path(name: string): string {
    return path.join(this.#folder, name);
  }

  [Symbol.dispose](): void {
    fs.rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** The image of a scratch folder, mounted until the end of a test. */
class Mount implements Disposable {
  readonly path: string;

  constructor(scratch: Scratch) {
    this.path = scratch.path("mounted");
    fs.mkdirSync(this.path);
    execFileSync("mount", ["-t", "erofs", "-o", "ro,loop", scratch.path("image"), this.path]);
  }

  [Symbol.dispose](): void {
    execFileSync("umount", [this.path]);
  }
}

function read(file: string): string {
  try {
    return fs.readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
