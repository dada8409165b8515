// What GNU tar writes in formats that container tools do not read is read here as GNU tar itself reads it.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { describeTree } from "../../src/rootfs/erofs/testing/describe-tree.ts";
import { LayeredTree } from "../../src/rootfs/layers/layered-tree.ts";
import { FileSource } from "../../src/tar/host/file-source.ts";
import { readTar } from "../../src/tar/read-tar.ts";
import { directoryTree } from "./directory-tree.ts";

const skip = spawnSync("tar", ["--version"]).stdout?.includes("GNU tar") ? false : "GNU tar is not installed";

const forms: Readonly<Record<string, readonly string[]>> = {
  "V7 format": ["--format=v7", "--exclude=./pipe"],
  "ustar format": ["--format=ustar"],
  "old GNU format": ["--format=oldgnu"],
  "GNU format": ["--format=gnu"],
  "pax format": ["--format=posix"],
  "pax format with global records": ["--format=posix", "--pax-option=globexthdr.name=g,gid=7,mtime=12345.5"],
  "old GNU sparse files": ["--format=gnu", "--sparse"],
  "sparse files of format 0.0": ["--format=posix", "--sparse", "--sparse-version=0.0"],
  "sparse files of format 0.1": ["--format=posix", "--sparse", "--sparse-version=0.1"],
  "sparse files of format 1.0": ["--format=posix", "--sparse", "--sparse-version=1.0"],
  "a label": ["--format=gnu", "--label=archive"],
};

for (const [name, options] of Object.entries(forms))
  test(`GNU tar's ${name} are read as GNU tar reads them`, { skip }, (t) => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "gnu-tar-"));
    t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
    const [from, to, archive] = ["from", "to", "archive.tar"].map((part) => path.join(folder, part));
    assert.ok(from !== undefined && to !== undefined && archive !== undefined);
    makeTree(from);
    execFileSync("tar", ["-C", from, ...options, "-cf", archive, "."]);
    fs.mkdirSync(to);
    execFileSync("tar", ["-C", to, "-xpf", archive], { stdio: "pipe" });
    using source = new FileSource(archive);
    const tree = new LayeredTree();
    tree.apply(readTar(source, source.length));
    assert.deepEqual(describeTree(tree.root), describeTree(directoryTree(to)));
  });

function makeTree(folder: string): void {
  const script = `
    mkdir -p sub/deeper; echo content > sub/file; ln sub/file hard; ln -s sub/file symbolic; chmod 4711 sub/file
    printf data | dd of=sparse bs=1 seek=1000000 conv=notrunc status=none; truncate -s 3000000 sparse
    for i in $(seq 0 40); do printf "run $i" | dd of=many bs=1 seek=$((i * 65536)) conv=notrunc status=none; done
    truncate -s 700000 hole; head -c 1536 /dev/zero | tr '\\0' x > blocks; mkfifo pipe; touch -d @1234567890 sub/deeper
  `;
  fs.mkdirSync(folder);
  execFileSync("bash", ["-ec", script], { cwd: folder, stdio: "pipe" });
}
