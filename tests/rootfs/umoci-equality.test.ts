// An image's EROFS file system is, file by file, what `umoci unpack` makes of the same image.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { type TestContext, test } from "node:test";
import { describeTree } from "../../src/rootfs/erofs/testing/describe-tree.ts";
import { readErofs } from "../../src/rootfs/erofs/testing/read-erofs.ts";
import { prepareRootfs } from "../../src/rootfs/host/prepare-rootfs.ts";
import type { DirectoryNode, FileNode, TreeNode } from "../../src/rootfs/tree.ts";
import { Home } from "../../src/storage/home.ts";
import { concat, gnuLong, header, member, padded, pax, tarOf } from "../../src/tar/testing/tar-builder.ts";
import { directoryTree } from "./directory-tree.ts";
import { ImageFile } from "./erofs-image-file.ts";
import { addXattrs } from "./folder-xattrs.ts";
import { makeOciImage, unpackWithUmoci } from "./oci-image.ts";

const missing = ["umoci", "getfattr", "setfattr", "setcap", "tar"].filter(
  (tool) => spawnSync(tool, ["--version"]).error !== undefined,
);
const skip =
  process.getuid?.() !== 0
    ? "only root can make devices and owners"
    : missing.length > 0
      ? `not installed: ${missing.join(", ")}`
      : false;
const canMount = /\berofs$/m.test(fs.readFileSync("/proc/filesystems", "utf8"));

test("an image built to have every odd tar feature", { skip }, async (t) => {
  const folder = scratch(t);
  const tars = [gnuTarLayer(folder, "posix"), oddLayer(), changesLayer(), gnuTarLayer(folder, "gnu")];
  // umoci leaves the time of the unpacking on a directory that no entry describes, and on one in which it makes such a
  // directory.
  await assertEqualToUmoci(t, { folder, tars, untimed: ["through-dangling", "v7-directory"] });
});

test("whiteouts and opaque markers in every order", { skip }, async (t) => {
  const folder = scratch(t);
  const lower = ["d", "d/e", "d/e/f", "g", "h"].flatMap((name) => [directory(name), file(`${name}/lower`)]);
  const upper = [
    [file(".wh.g"), directory("g"), file("g/upper")],
    [directory("h"), file("h/upper"), file(".wh.h")],
    [directory("d"), directory("d/e"), file("d/e/upper"), file("d/.wh..wh..opq")],
    [file("d/e/.wh.upper"), file("d/.wh.nothing"), file(".wh.nowhere")],
  ];
  const tars = [[directory("."), ...lower], ...upper].map((members) => tarOf(...members));
  // umoci leaves the time of the unpacking on a directory in which a late whiteout removed something.
  await assertEqualToUmoci(t, { folder, tars, untimed: ["h", "d/e"] });
});

test("a root file system emptied by an opaque marker", { skip }, async (t) => {
  const folder = scratch(t);
  const tars = [
    tarOf(directory("."), directory("a"), file("a/b")),
    tarOf(file("new"), file(".wh..wh..opq"), directory(".")),
  ];
  await assertEqualToUmoci(t, { folder, tars, untimed: [] });
});

const time = 1_500_000_000;

function directory(name: string, mode = 0o755): Uint8Array {
  return member({ name: `${name}/`, typeflag: "5", mode, mtime: time });
}

function file(name: string, data = name): Uint8Array {
  return member({ name, data, mtime: time });
}

function link(name: string, linkName: string): Uint8Array {
  return member({ name, typeflag: "2", linkName, mtime: time });
}

function hardLink(name: string, linkName: string): Uint8Array {
  return member({ name, typeflag: "1", linkName });
}

/** A real folder with one of everything, archived by GNU tar. */
function gnuTarLayer(folder: string, format: "posix" | "gnu"): Uint8Array {
  const tree = path.join(folder, `tree-${format}`);
  const script = `
    set -e; umask 022; mkdir -p ${tree}; cd ${tree}
    mkdir -p ${format}/sub ${format}/setgid ${format}/sticky; cd ${format}
    printf empty > sub/small; : > empty; head -c 4096 /dev/zero | tr '\\0' x > block; seq 1 20000 > large
    mkdir -p $(printf 'deep-directory-%s/' $(seq 1 25)); echo deep > $(printf 'deep-directory-%s/' $(seq 1 25))file
    touch $(printf 'n%.0s' $(seq 1 255)) "$(printf 'latin1-\\351')" "$(printf 'new\\nline')" 'sp ace' 'back\\slash'
    ln large hard-1; ln large sub/hard-2; ln -s large symbolic; ln -s $(printf 't/%.0s' $(seq 1 300)) long-target
    ln -P symbolic hard-to-symbolic; ln -s /absolute/../target absolute
    mknod tty c 4 64; mknod disk b 259 70000; ln disk hard-disk; mkfifo pipe
    cp large setuid; chmod 4755 setuid; chmod 2775 setgid; chmod 1777 sticky; chmod 0 empty
    chown 3000000:2097153 block; chown -h 12:13 symbolic; chown 4294967294:1 sub/small
    touch -d '1960-02-03 04:05:06.123456789 UTC' sub/small; touch -d '2200-01-01 00:00:00.987654321 UTC' block
    touch -h -d '2001-01-01 00:00:00.5 UTC' symbolic; touch -d '1999-12-31 23:59:59.999999999 UTC' sub sticky
  `;
  const odd = `
    set -e; cd ${tree}/${format}
    cp large capable; setcap cap_net_raw,cap_net_admin+ep capable
    setfattr -n user.text -v hello sub; setfattr -n user.binary -v 0x00ff0a3d00 large
    setfattr -n trusted.secret -v x block; setfattr -h -n trusted.link -v y symbolic
    setfattr -n user.large -v 0x$(printf 'ab%.0s' $(seq 1 3000)) capable
    truncate -s 3000000 sparse; printf data | dd of=sparse bs=1 seek=1000000 conv=notrunc status=none
    truncate -s 500000 hole; printf end | dd of=sparse-end bs=1 seek=700001 status=none
  `;
  // The GNU format has no place for attributes, and its sparse entries are a type that umoci refuses.
  execFileSync("bash", ["-c", format === "posix" ? script + odd : script], { stdio: "pipe" });
  const tar = path.join(folder, `${format}.tar`);
  const options = format === "posix" ? ["--xattrs", "--xattrs-include=*", "--sparse"] : [];
  execFileSync("tar", ["-C", tree, `--format=${format}`, "--numeric-owner", ...options, "-cf", tar, "."]);
  return fs.readFileSync(tar);
}

/** What no tar program writes today, but images hold. */
function oddLayer(): Uint8Array {
  const sparse = concat(new Uint8Array(512).fill(97), new Uint8Array(100).fill(98));
  const map = padded(new TextEncoder().encode("2\n2048\n512\n8192\n100\n"));
  return tarOf(
    member({ name: "v7", format: "v7", typeflag: "\0", data: "v7", mtime: time }),
    member({ name: "v7-directory/", format: "v7", typeflag: "\0", mode: 0o700, mtime: time }),
    member({ name: "prefixed", prefix: "v7-directory/p", data: "x", mtime: time }),
    directory("v7-directory/p", 0o711),
    file("/absolute-name"),
    file("./././dotted//name"),
    directory("dotted"),
    file("../../../climbing"),
    file("v7-directory/../lexical"),
    file("implied/by/file"),
    member({ name: "base-256", uid: 2 ** 31 + 5, gid: 2 ** 32 - 2, mtime: -1000 }),
    pax({ mtime: "-1.25", uid: "70000", "SCHILY.xattr.user.pax": "\0binary\n=" }),
    member({ name: "pax" }),
    pax({ mtime: "1234567890.1234567891" }),
    directory("pax-time"),
    gnuLong("L", `${"long-name/".repeat(15)}file`),
    member({ name: "cut", format: "gnu", data: "long", mtime: time }),
    ...Array.from({ length: 15 }, (_, index) => {
      const name = "long-name/".repeat(index + 1);
      return concat(
        gnuLong("L", name),
        member({ name: "cut", typeflag: "5", format: "gnu", mode: 0o755, mtime: index }),
      );
    }),
    gnuLong("K", "t".repeat(1000)),
    member({ name: "long-link", typeflag: "2", format: "gnu", mtime: time }),
    pax({
      "GNU.sparse.size": "10000",
      "GNU.sparse.numblocks": "2",
      "GNU.sparse.map": "2048,512,8192,100",
      "GNU.sparse.name": "sparse-0.1",
      mtime: "5",
    }),
    member({ name: "GNUSparseFile.0/sparse", data: sparse }),
    pax({
      "GNU.sparse.major": "1",
      "GNU.sparse.minor": "0",
      "GNU.sparse.realsize": "10000",
      "GNU.sparse.name": "sparse-1.0",
    }),
    member({ name: "GNUSparseFile.0/sparse", data: concat(map, sparse), mtime: time }),
    file("twice", "first"),
    member({ name: "twice", data: "second", mode: 0o6711, mtime: time }),
    member({ name: "hard-with-size", typeflag: "1", linkName: "./v7", size: 0, uid: 99 }),
    header({ name: "directory-with-size/", typeflag: "5", size: 1000, mode: 0o755, mtime: time }),
    member({ name: "odd-mode", mode: 0o100644, data: "x", mtime: time }),
    pax({ "SCHILY.xattr.security.selinux": "label", "SCHILY.xattr.user.kept": "1" }),
    member({ name: "labelled", mtime: time }),
  );
}

/** Changes of what the layers below have. */
function changesLayer(): Uint8Array {
  return tarOf(
    file(".wh.absolute-name"),
    file("posix/.wh.block"),
    file("posix/setgid", "a file where a directory was"),
    directory("posix/empty", 0o700),
    directory("posix/symbolic"),
    file("posix/symbolic/inside"),
    link("posix/sticky", "sub"),
    file("posix/sticky/written-through"),
    hardLink("hard-to-lower", "posix/large"),
    hardLink("posix/hard-through-link", "posix/sticky/small"),
    hardLink("hard-to-device", "/posix/disk"),
    link("out", "../../../../posix"),
    file("out/not-outside"),
    link("dangling", "through-dangling"),
    file("dangling/file"),
    file("v7-directory/.wh..wh..opq"),
    file("v7-directory/after-opaque"),
    directory("implied/by"),
    directory("implied"),
    directory("pax-time", 0o1700),
    file("base-256", "replaced"),
    file("gone"),
    file(".wh.pax"),
    directory("."),
  );
}

async function assertEqualToUmoci(
  t: TestContext,
  { folder, tars, untimed }: { folder: string; tars: readonly Uint8Array[]; untimed: readonly string[] },
): Promise<void> {
  const paths = tars.map((bytes, index) => {
    const tar = path.join(folder, `layer-${index}.tar`);
    fs.writeFileSync(tar, bytes);
    return tar;
  });
  const image = makeOciImage(folder, paths);
  const { path: erofs } = await prepareRootfs(image, { home: new Home(path.join(folder, "home")) });
  const expected = description(folderTree(unpackWithUmoci(folder)), untimed);
  assert.ok(expected.length > 2);
  using file = new ImageFile(erofs);
  assert.deepEqual(description(readErofs(file), untimed), expected);
  if (!canMount) {
    t.diagnostic("This kernel has no EROFS: judged by the project's own reader only");
    return;
  }
  const mountPoint = path.join(folder, "mounted");
  fs.mkdirSync(mountPoint);
  execFileSync("mount", ["-t", "erofs", "-o", "loop,ro", erofs, mountPoint]);
  try {
    assert.deepEqual(description(folderTree(mountPoint), untimed), expected);
  } finally {
    execFileSync("umount", [mountPoint]);
  }
}

function folderTree(folder: string): DirectoryNode {
  const root = directoryTree(folder);
  addXattrs(root, folder);
  return root;
}

/** Metadata, links and a SHA-256 of every file, one line each. */
function description(root: DirectoryNode, untimed: readonly string[]): string[] {
  const digests: string[] = [];
  const walk = (directory: DirectoryNode, prefix: string): void => {
    for (const [name, node] of directory.entries) {
      if (untimed.includes(prefix + name)) node.mtime = { seconds: 0, nanoseconds: 0 };
      if (node.type === "file") digests.push(`${JSON.stringify(prefix + name)} ${sha256(node)}`);
      if (isDirectory(node)) walk(node, `${prefix}${name}/`);
    }
  };
  walk(root, "");
  return [...describeTree(root), ...digests.sort()];
}

function isDirectory(node: TreeNode): node is DirectoryNode {
  return node.type === "directory";
}

function sha256({ size, extents }: FileNode): string {
  const data = new Uint8Array(size);
  for (const { source, position, offset, length } of extents)
    source.read(position, data.subarray(offset, offset + length));
  return createHash("sha256").update(data).digest("hex");
}

function scratch(t: TestContext): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "umoci-equality-"));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
}
