import assert from "node:assert/strict";
import { test } from "node:test";
import { byteStringFrom, bytesOf } from "./byte-string.ts";
import { readTar } from "./read-tar.ts";
import type { TarEntry } from "./tar-entry.ts";
import {
  concat,
  gnuLong,
  header,
  member,
  padded,
  pax,
  paxRecord,
  putNumber,
  sourceOf,
  tarOf,
} from "./testing/tar-builder.ts";

test("readTar() reads a ustar member with all its fields, and where its bytes are", () => {
  const bytes = tarOf(
    member({ name: "etc/passwd", mode: 0o4755, uid: 1000, gid: 100, mtime: 1234567890, data: "root:x" }),
  );
  const [entry] = entriesOf(bytes);
  assert.deepEqual(
    [entry?.path, entry?.type, entry?.mode, entry?.uid, entry?.gid, entry?.mtime, entry?.size],
    ["etc/passwd", "file", 0o4755, 1000, 100, { seconds: 1234567890, nanoseconds: 0 }, 6],
  );
  assert.deepEqual(
    entry?.extents.map(({ offset, length, position }) => ({ offset, length, position })),
    [{ offset: 0, length: 6, position: 512 }],
  );
});

test("readTar() knows every type of member", () => {
  const bytes = tarOf(
    member({ name: "file" }),
    member({ name: "v7-file", typeflag: "\0", format: "v7" }),
    member({ name: "v7-directory/", typeflag: "\0", format: "v7" }),
    member({ name: "hard", typeflag: "1", linkName: "file" }),
    member({ name: "symbolic", typeflag: "2", linkName: "../file" }),
    member({ name: "tty", typeflag: "3", major: 4, minor: 64 }),
    member({ name: "disk", typeflag: "4", major: 8, minor: 300 }),
    member({ name: "directory/", typeflag: "5" }),
    member({ name: "pipe", typeflag: "6" }),
    member({ name: "contiguous", typeflag: "7", data: "x" }),
  );
  assert.deepEqual(
    entriesOf(bytes).map(({ path, type, linkTarget, major, minor }) => [
      path,
      type,
      linkTarget,
      major,
      minor,
    ]),
    [
      ["file", "file", "", 0, 0],
      ["v7-file", "file", "", 0, 0],
      ["v7-directory/", "directory", "", 0, 0],
      ["hard", "hard-link", "file", 0, 0],
      ["symbolic", "symlink", "../file", 0, 0],
      ["tty", "character-device", "", 4, 64],
      ["disk", "block-device", "", 8, 300],
      ["directory/", "directory", "", 0, 0],
      ["pipe", "fifo", "", 0, 0],
      ["contiguous", "file", "", 0, 0],
    ],
  );
});

test("readTar() ignores sizes of members that have no data: a hard link often has its target's", () => {
  const bytes = tarOf(
    header({ name: "hard", typeflag: "1", linkName: "x", size: 5000 }),
    header({ name: "dir/", typeflag: "5", size: 5000 }),
    member({ name: "next" }),
  );
  assert.deepEqual(
    entriesOf(bytes).map(({ path, size }) => [path, size]),
    [
      ["hard", 0],
      ["dir/", 0],
      ["next", 0],
    ],
  );
});

test("readTar() joins a ustar prefix, and takes none from V7 and GNU headers", () => {
  const gnuTimes = (block: Uint8Array): void => block.set(bytesOf("00000000001\x0000000000002\0"), 345);
  const bytes = tarOf(
    member({ name: "name", prefix: "some/prefix" }),
    member({ name: "v7", format: "v7", patch: (block) => block.set(bytesOf("junk"), 345) }),
    member({ name: "gnu", format: "gnu", patch: gnuTimes }),
    member({ name: "old-go", format: "gnu", prefix: "kept/prefix" }),
  );
  assert.deepEqual(pathsOf(bytes), ["some/prefix/name", "v7", "gnu", "kept/prefix/old-go"]);
});

test("readTar() reads names and link targets from GNU long headers and pax records", () => {
  const long = "directory/".repeat(30);
  const bytes = tarOf(
    gnuLong("L", `${long}gnu`),
    gnuLong("K", `${long}target`),
    member({ name: "cut", typeflag: "2", linkName: "cut", format: "gnu" }),
    pax({ path: `${long}pax`, linkpath: `${long}pax-target` }),
    member({ name: "cut", typeflag: "2", linkName: "cut" }),
    member({ name: "plain" }),
  );
  assert.deepEqual(
    entriesOf(bytes).map(({ path, linkTarget }) => [path, linkTarget]),
    [
      [`${long}gnu`, `${long}target`],
      [`${long}pax`, `${long}pax-target`],
      ["plain", ""],
    ],
  );
});

test("readTar() keeps names that are not UTF-8 byte for byte", () => {
  assert.deepEqual(
    pathsOf(tarOf(member({ name: "caf\xe9" }), pax({ path: "\xff\xfe" }), member({ name: "" }))),
    ["caf\xe9", "\xff\xfe"],
  );
});

test("readTar() reads ids, sizes and times beyond octal from base-256 and from pax", () => {
  const sizes = [9 * 2 ** 30, 10 * 2 ** 30];
  const big = concat(
    header({ name: "base-256", uid: 2 ** 31, gid: 4294967294, mtime: -86400, size: sizes[0] ?? 0 }),
  );
  const source = { read: (position: number, into: Uint8Array) => into.set(pieceAt(position, into.length)) };
  const second = concat(
    pax({ uid: "3000000000", gid: "2097152", size: String(sizes[1]), mtime: "1.5" }),
    header({ name: "pax" }),
  );
  const pieceAt = (position: number, length: number): Uint8Array => {
    const at = 512 + (sizes[0] ?? 0);
    const whole = new Uint8Array(length);
    if (position < 512) whole.set(big.subarray(position, position + length));
    else if (position >= at) whole.set(second.subarray(position - at, position - at + length));
    return whole;
  };
  const length = 512 + (sizes[0] ?? 0) + second.length + (sizes[1] ?? 0);
  assert.deepEqual(
    [...readTar(source, length)].map(({ uid, gid, size, mtime }) => [uid, gid, size, mtime.seconds]),
    [
      [2147483648, 4294967294, sizes[0], -86400],
      [3000000000, 2097152, sizes[1], 1],
    ],
  );
});

test("readTar() reads nanoseconds, also before 1970, and drops what is finer", () => {
  const times = ["1.5", "-1.5", "-0.25", "0.000000001", "-2", "7.1234567899", "12.", "-0"];
  const bytes = tarOf(...times.flatMap((mtime) => [pax({ mtime }), member({ name: mtime })]));
  assert.deepEqual(
    entriesOf(bytes).map(({ mtime }) => [mtime.seconds, mtime.nanoseconds]),
    [
      [1, 500000000],
      [-2, 500000000],
      [-1, 750000000],
      [0, 1],
      [-2, 0],
      [7, 123456789],
      [12, 0],
      [0, 0],
    ],
  );
});

test("readTar() takes xattrs from SCHILY and LIBARCHIVE records, binary values and escaped names included", () => {
  const capability = Uint8Array.of(1, 0, 0, 2, 0, 4, 0, 0, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  const bytes = tarOf(
    pax({
      "LIBARCHIVE.xattr.user.both": "d3Jvbmc",
      "SCHILY.xattr.user.both": "right",
      "SCHILY.xattr.security.capability": capability,
      "SCHILY.xattr.user.a=b": "no, the first equals sign ends the keyword",
      "SCHILY.xattr.user.empty": "",
      "LIBARCHIVE.xattr.user.sp%20ace": "AAEC/w==",
    }),
    member({ name: "x" }),
    member({ name: "y" }),
  );
  const [x, y] = entriesOf(bytes);
  assert.deepEqual(
    new Map([...(x?.xattrs ?? [])].sort()),
    new Map([
      ["security.capability", capability],
      ["user.a", bytesOf("b=no, the first equals sign ends the keyword")],
      ["user.both", bytesOf("right")],
      ["user.empty", new Uint8Array(0)],
      ["user.sp ace", Uint8Array.of(0, 1, 2, 255)],
    ]),
  );
  assert.equal(y?.xattrs.size, 0);
});

test("readTar() applies a global header to all later members, and a member's own above it", () => {
  const bytes = tarOf(
    member({ name: "before", uid: 5 }),
    pax({ uid: "7", comment: "git", "SCHILY.xattr.user.all": "1" }, "g"),
    member({ name: "global", uid: 5 }),
    pax({ uid: "8" }),
    member({ name: "own", uid: 5 }),
    pax({ uid: "" }),
    member({ name: "emptied", uid: 5 }),
  );
  assert.deepEqual(
    entriesOf(bytes).map(({ path, uid, xattrs }) => [path, uid, xattrs.size]),
    [
      ["before", 5, 0],
      ["global", 7, 1],
      ["own", 8, 1],
      ["emptied", 5, 1],
    ],
  );
});

const sparseData = concat(new Uint8Array(512).fill(0x61), new Uint8Array(300).fill(0x62));
const sparseExtents = [
  { offset: 1024, length: 512 },
  { offset: 4096, length: 300 },
];
test("readTar() reads GNU sparse format 0.0, which repeats its keywords", () => {
  const records = ["GNU.sparse.offset", "1024", "GNU.sparse.numbytes", "512", "GNU.sparse.offset", "4096"];
  const data = concat(
    ...pairs(["GNU.sparse.size", "10000", ...records, "GNU.sparse.numbytes", "300"]).map(paxRecord),
  );
  const bytes = tarOf(member({ name: "pax", typeflag: "x", data }), member({ name: "s", data: sparseData }));
  assertSparse(bytes, "s");
});

test("readTar() reads GNU sparse format 0.1, with the name and the map in records", () => {
  const records = {
    "GNU.sparse.name": "real/name",
    "GNU.sparse.size": "10000",
    "GNU.sparse.map": "1024,512,4096,300,10000,0",
  };
  assertSparse(tarOf(pax(records), member({ name: "GNUSparseFile.0/s", data: sparseData })), "real/name");
});

test("readTar() reads GNU sparse format 1.0, with the map in front of the data", () => {
  const records = {
    "GNU.sparse.major": "1",
    "GNU.sparse.minor": "0",
    "GNU.sparse.name": "real/name",
    "GNU.sparse.realsize": "10000",
  };
  const map = padded(bytesOf("3\n1024\n512\n4096\n300\n10000\n0\n"));
  const data = concat(map, sparseData);
  assertSparse(tarOf(pax(records), member({ name: "GNUSparseFile.0/s", data })), "real/name");
});

test("readTar() reads old GNU sparse files whose map goes on in further blocks", () => {
  const runs = Array.from({ length: 30 }, (_, index) => [index * 1024, 512] as const);
  const table = (from: number, to: number, block: Uint8Array, at: number): void => {
    runs.slice(from, to).forEach(([offset, length], index) => {
      putNumber(block.subarray(at + index * 24, at + index * 24 + 12), offset);
      putNumber(block.subarray(at + index * 24 + 12, at + index * 24 + 24), length);
    });
  };
  const first = new Uint8Array(512);
  table(4, 25, first, 0);
  first[504] = 1;
  const second = new Uint8Array(512);
  table(25, 30, second, 0);
  const block = header({
    name: "old",
    typeflag: "S",
    format: "gnu",
    size: 30 * 512,
    patch(bytes) {
      table(0, 4, bytes, 386);
      bytes[482] = 1;
      putNumber(bytes.subarray(483, 495), 100_000);
    },
  });
  const bytes = tarOf(concat(block, first, second, new Uint8Array(30 * 512)), member({ name: "next" }));
  const [entry, next] = entriesOf(bytes);
  assert.equal(entry?.size, 100_000);
  assert.deepEqual(
    entry?.extents.map(({ offset, length, position }) => [offset, length, position]),
    runs.map(([offset, length], index) => [offset, length, 1536 + index * 512]),
  );
  assert.equal(next?.path, "next");
});

test("readTar() accepts signed checksums, missing end blocks, missing padding, and garbage after the end", () => {
  const signed = header({ name: "\xff\xff\xff" });
  signed.fill(0x20, 148, 156);
  const sum = signed.reduce((total, byte) => total + (byte > 127 ? byte - 256 : byte), 0);
  signed.set(bytesOf(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
  assert.deepEqual(pathsOf(signed), ["\xff\xff\xff"]);
  assert.deepEqual(pathsOf(concat(header({ name: "cut", size: 3 }), bytesOf("abc"))), ["cut"]);
  assert.deepEqual(pathsOf(concat(member({ name: "a" }), new Uint8Array(512))), ["a"]);
  assert.deepEqual(pathsOf(concat(member({ name: "a" }), new Uint8Array(100))), ["a"]);
  assert.deepEqual(pathsOf(concat(tarOf(member({ name: "a" })), bytesOf("garbage"))), ["a"]);
  assert.deepEqual(pathsOf(new Uint8Array(0)), []);
});

test("readTar() skips a volume label, and an extended header that nothing follows", () => {
  assert.deepEqual(
    pathsOf(tarOf(member({ name: "label", typeflag: "V" }), member({ name: "a" }), pax({ path: "b" }))),
    ["a"],
  );
});

function entriesOf(bytes: Uint8Array): TarEntry[] {
  return [...readTar(sourceOf(bytes), bytes.length)];
}

function pathsOf(bytes: Uint8Array): string[] {
  return entriesOf(bytes).map(({ path }) => path);
}

function assertSparse(bytes: Uint8Array, path: string): void {
  const [entry] = entriesOf(bytes);
  assert.equal(entry?.path, path);
  assert.equal(entry?.size, 10_000);
  assert.deepEqual(
    entry?.extents.map(({ offset, length }) => ({ offset, length })),
    sparseExtents,
  );
  const last = entry?.extents[1];
  const piece = new Uint8Array(300);
  last?.source.read(last.position, piece);
  assert.equal(byteStringFrom(piece), "b".repeat(300));
}

function pairs(items: readonly string[]): [string, string][] {
  return items.flatMap((item, index) => (index % 2 === 0 ? [[item, items[index + 1] ?? ""]] : []));
}
