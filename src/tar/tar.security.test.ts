import assert from "node:assert/strict";
import { test } from "node:test";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { printable } from "./byte-string.ts";
import { readTar } from "./read-tar.ts";
import type { TarLimits } from "./tar-limits.ts";
import { concat, gnuLong, header, member, pax, putNumber, sourceOf, tarOf } from "./testing/tar-builder.ts";

interface HostileCase {
  readonly bytes: Uint8Array;
  /** Name and offset that the error must carry. */
  readonly entry?: string;
  readonly offset?: number;
  readonly message: RegExp;
  readonly limits?: Partial<TarLimits>;
}

const manyXattrs = Object.fromEntries(
  Array.from({ length: 257 }, (_, index) => [`SCHILY.xattr.user.${index}`, "x"]),
);
const sparse10 = { "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "1000" };

const hostile: Readonly<Record<string, HostileCase>> = {
  "a size past the end of the archive": {
    bytes: concat(member({ name: "first" }), header({ name: "liar", size: 1_000_000 }), new Uint8Array(512)),
    entry: "liar",
    offset: 512,
    message: /claims 1000000 bytes but only 512 are left/,
  },
  "a size past the end, in a pax record": {
    bytes: tarOf(pax({ size: "9007199254740991" }), member({ name: "liar" })),
    entry: "liar",
    offset: 1024,
    message: /claims/,
  },
  "a size beyond exact numbers": {
    bytes: tarOf(pax({ size: "99999999999999999999" }), member({ name: "liar" })),
    message: /malformed size/,
  },
  "a negative size": {
    bytes: tarOf(header({ name: "minus", size: -1 })),
    entry: "minus",
    offset: 0,
    message: /negative size/,
  },
  "a negative size of an extension": {
    bytes: tarOf(header({ name: "minus", typeflag: "x", size: -512 })),
    message: /negative size/,
  },
  "a negative size in a pax record": {
    bytes: tarOf(pax({ size: "-1" }), member({ name: "minus" })),
    message: /negative size/,
  },
  "a huge extended header": {
    bytes: concat(header({ name: "x", typeflag: "x", size: 2 ** 20 + 1 }), new Uint8Array(2 ** 20 + 512)),
    message: /more than 1048576 bytes/,
  },
  "a huge GNU long name": {
    bytes: concat(header({ name: "L", typeflag: "L", size: 2 ** 21 }), new Uint8Array(2 ** 21)),
    message: /more than 1048576 bytes/,
  },
  "a name longer than PATH_MAX": {
    bytes: tarOf(gnuLong("L", "a/".repeat(2049)), member({ name: "cut", format: "gnu" })),
    message: /name of more than 4096 bytes/,
  },
  "a component longer than NAME_MAX": {
    bytes: tarOf(pax({ path: `ok/${"n".repeat(256)}/ok` }), member({ name: "cut" })),
    message: /file name of more than 255 bytes/,
  },
  "a link target longer than PATH_MAX": {
    bytes: tarOf(pax({ linkpath: "t".repeat(4097) }), member({ name: "link", typeflag: "2" })),
    entry: "link",
    message: /link target of more than 4096 bytes/,
  },
  "too many xattrs": {
    bytes: tarOf(pax(manyXattrs), member({ name: "x" })),
    message: /too many extended attributes/,
  },
  "too many xattrs, own and global ones together": {
    bytes: tarOf(
      pax(Object.fromEntries(Object.entries(manyXattrs).slice(0, 200)), "g"),
      pax(Object.fromEntries(Object.entries(manyXattrs).slice(100))),
      member({ name: "x" }),
    ),
    entry: "x",
    message: /more than 256 extended attributes/,
  },
  "an xattr larger than Linux allows": {
    bytes: tarOf(pax({ "SCHILY.xattr.user.big": "v".repeat(65_536) }), member({ name: "x" })),
    entry: "x",
    message: /more than 65535 bytes/,
  },
  "xattrs larger than allowed together": {
    bytes: tarOf(
      pax({
        "SCHILY.xattr.user.1": "v".repeat(60_000),
        "SCHILY.xattr.user.2": "v".repeat(60_000),
        "SCHILY.xattr.user.3": "v".repeat(60_000),
      }),
      member({ name: "x" }),
    ),
    entry: "x",
    message: /bytes of extended attributes/,
  },
  "an xattr name longer than Linux allows": {
    bytes: tarOf(pax({ [`SCHILY.xattr.user.${"n".repeat(251)}`]: "" }), member({ name: "x" })),
    message: /name of more than 255 bytes/,
  },
  "an xattr without a name": {
    bytes: tarOf(pax({ "SCHILY.xattr.": "x" }), member({ name: "x" })),
    message: /impossible name/,
  },
  "an xattr that is not base64": {
    bytes: tarOf(pax({ "LIBARCHIVE.xattr.user.x": "?" }), member({ name: "x" })),
    message: /not base64/,
  },
  "a NUL byte in a pax path": {
    bytes: tarOf(pax({ path: "etc/passwd\0.txt" }), member({ name: "x" })),
    message: /NUL byte/,
  },
  "a pax record that claims more than there is": {
    bytes: tarOf(member({ name: "x", typeflag: "x", data: "99 path=a\n" }), member({ name: "y" })),
    message: /malformed extended header/,
  },
  "a pax record of length zero": {
    bytes: tarOf(member({ name: "x", typeflag: "x", data: "0 path=a\n" }), member({ name: "y" })),
    message: /malformed extended header/,
  },
  "a pax record with an endless length": {
    bytes: tarOf(
      member({ name: "x", typeflag: "x", data: `${"1".repeat(400)} a=b\n` }),
      member({ name: "y" }),
    ),
    message: /malformed extended header/,
  },
  "a pax record without an equals sign": {
    bytes: tarOf(member({ name: "x", typeflag: "x", data: "9 path a\n" }), member({ name: "y" })),
    message: /malformed extended header/,
  },
  "a sparse map with more data than is stored": {
    bytes: tarOf(
      pax({ "GNU.sparse.size": "10000", "GNU.sparse.map": "0,5000" }),
      member({ name: "s", data: "short" }),
    ),
    entry: "s",
    message: /more data than is stored/,
  },
  "a sparse map with less data than is stored": {
    bytes: tarOf(
      pax({ "GNU.sparse.size": "10000", "GNU.sparse.map": "0,2" }),
      member({ name: "s", data: "longer" }),
    ),
    message: /less data than is stored/,
  },
  "sparse runs that overlap": {
    bytes: tarOf(
      pax({ "GNU.sparse.size": "10000", "GNU.sparse.map": "0,3,2,3" }),
      member({ name: "s", data: "123456" }),
    ),
    message: /out of order or range/,
  },
  "a sparse run past the file's end": {
    bytes: tarOf(
      pax({ "GNU.sparse.size": "4", "GNU.sparse.map": "0,6" }),
      member({ name: "s", data: "123456" }),
    ),
    message: /out of order or range/,
  },
  "a sparse run whose end is beyond exact numbers": {
    bytes: tarOf(
      pax({ "GNU.sparse.size": "100", "GNU.sparse.map": "9007199254740991,9007199254740991" }),
      member({ name: "s" }),
    ),
    message: /out of order or range/,
  },
  "a negative number in a sparse map": {
    bytes: tarOf(pax({ "GNU.sparse.size": "9", "GNU.sparse.map": "-1,1" }), member({ name: "s", data: "1" })),
    message: /malformed number/,
  },
  "a sparse map with an odd count of numbers": {
    bytes: tarOf(pax({ "GNU.sparse.size": "9", "GNU.sparse.map": "1" }), member({ name: "s", data: "1" })),
    message: /odd count/,
  },
  "a sparse 1.0 map that promises millions of runs": {
    bytes: tarOf(pax(sparse10), member({ name: "s", data: "4000000000\n".padEnd(512, "\0") })),
    message: /too many runs/,
  },
  "a sparse 1.0 map that goes past its data": {
    bytes: tarOf(pax(sparse10), member({ name: "s", data: `1000\n${"1\n".repeat(254)}` })),
    message: /past its data/,
  },
  "a sparse 1.0 map without any line end": {
    bytes: tarOf(pax(sparse10), member({ name: "s", data: "1".repeat(5000) })),
    message: /malformed sparse map/,
  },
  "an unknown sparse format": {
    bytes: tarOf(pax({ "GNU.sparse.major": "2", "GNU.sparse.minor": "0" }), member({ name: "s" })),
    message: /unknown sparse format/,
  },
  "an old GNU sparse map that never ends": {
    bytes: concat(
      header({
        name: "s",
        typeflag: "S",
        format: "gnu",
        patch(block) {
          for (let at = 386; at < 482; at += 12) putNumber(block.subarray(at, at + 12), 0);
          block[482] = 1;
        },
      }),
      ...Array.from({ length: 10 }, () => {
        const block = new Uint8Array(512);
        for (let at = 0; at < 504; at += 12) putNumber(block.subarray(at, at + 12), 0);
        block[504] = 1;
        return block;
      }),
    ),
    entry: "s",
    message: /past the end of the archive/,
  },
  "more sparse runs than allowed, over several files": {
    bytes: tarOf(
      ...[1, 2, 3].flatMap((index) => [
        pax({ "GNU.sparse.size": "100", "GNU.sparse.map": "0,1,50,1" }),
        member({ name: `s${index}`, data: "ab" }),
      ]),
    ),
    limits: { maxSparseExtents: 5 },
    entry: "s3",
    message: /too many runs/,
  },
  "logical sizes beyond the total": {
    bytes: tarOf(
      pax({ "GNU.sparse.size": String(5 * 2 ** 40), "GNU.sparse.map": "0,1" }),
      member({ name: "bomb", data: "a" }),
    ),
    entry: "bomb",
    message: /past 4398046511104 bytes/,
  },
  "more members than allowed": {
    bytes: tarOf(...["a", "b", "c"].map((name) => member({ name }))),
    limits: { maxEntries: 2 },
    entry: "c",
    message: /one more than the 2 allowed/,
  },
  "more name bytes than allowed": {
    bytes: tarOf(...["aaaa", "bbbb", "cccc"].map((name) => member({ name }))),
    limits: { maxMetadataBytes: 10 },
    entry: "cccc",
    message: /past 10 bytes/,
  },
  "an owner outside 32 bits": {
    bytes: tarOf(header({ name: "x", uid: 2 ** 32 })),
    message: /outside 32 bits/,
  },
  "a negative owner": {
    bytes: tarOf(pax({ gid: "-1" }), member({ name: "x" })),
    message: /outside 32 bits/,
  },
  "a time that is no number": {
    bytes: tarOf(pax({ mtime: "yesterday" }), member({ name: "x" })),
    message: /malformed time/,
  },
  "an unknown type": {
    bytes: tarOf(member({ name: "what", typeflag: "D" })),
    entry: "what",
    message: /unknown type, 0x44/,
  },
  "a damaged checksum": {
    bytes: ((bytes) => {
      bytes[512 + 3] = 0x7a;
      return bytes;
    })(tarOf(member({ name: "fine" }), member({ name: "damaged" }))),
    offset: 512,
    message: /damaged header at byte 512/,
  },
  "data behind a lone zero block": {
    bytes: concat(
      member({ name: "a" }),
      new Uint8Array(512),
      member({ name: "hidden" }),
      new Uint8Array(1024),
    ),
    message: /lone zero block/,
  },
  "an end in the middle of a header": {
    bytes: member({ name: "a" }).slice(0, 300),
    message: /middle of a header/,
  },
  "text instead of an archive": {
    bytes: new TextEncoder().encode("<html>".repeat(500)),
    offset: 0,
    message: /damaged header/,
  },
};

for (const [name, { bytes, entry, offset, message, limits }] of Object.entries(hostile))
  test(`readTar() refuses ${name}`, () => {
    assert.throws(
      () => [...readTar(sourceOf(bytes), bytes.length, limits)],
      (error: SupermachineError) => {
        assert.equal(error.code, "ARCHIVE_INVALID");
        assert.match(error.message, message);
        if (entry !== undefined) assert.equal(error.data["entry"], entry);
        if (offset !== undefined) assert.equal(error.data["offset"], offset);
        return error instanceof SupermachineError;
      },
    );
  });

test("printable() leaves nothing in a name that could disturb a terminal or hide text", () => {
  assert.equal(printable("a\x1b[31m\nb\x00"), "a\\x1b[31m\\x0ab\\x00");
  assert.equal(printable("caf\xc3\xa9"), "café");
  assert.equal(printable("caf\xe9"), "caf\\xe9");
  assert.equal(printable("\xe2\x80\xaegpj.exe"), "\\u{202e}gpj.exe");
  assert.equal(printable("x".repeat(5000)).length, 240);
});
