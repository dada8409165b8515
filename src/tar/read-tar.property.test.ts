import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { readTar } from "./read-tar.ts";
import { concat, gnuLong, member, pax, sourceOf, type TarMember, tarOf } from "./testing/tar-builder.ts";

const nameByte = fc.integer({ min: 1, max: 255 }).map((code) => String.fromCharCode(code));
const component = fc.array(
  nameByte.filter((character) => character !== "/"),
  { minLength: 1, maxLength: 20 },
);
const path = fc
  .array(component, { minLength: 1, maxLength: 12 })
  .map((names) => names.map((name) => name.join("")).join("/"));

const memberOf = fc.record({
  path,
  form: fc.constantFrom("header", "pax", "gnu"),
  mode: fc.integer({ min: 0, max: 0o7777 }),
  uid: fc.integer({ min: 0, max: 2 ** 32 - 2 }),
  gid: fc.integer({ min: 0, max: 2 ** 32 - 2 }),
  seconds: fc.integer({ min: -(2 ** 40), max: 2 ** 40 }),
  data: fc.uint8Array({ maxLength: 1500 }),
});

test("readTar() gives back what was written, in every form of header", () => {
  fc.assert(
    fc.property(fc.array(memberOf, { maxLength: 8 }), (members) => {
      const bytes = tarOf(...members.map(encode));
      const read = [...readTar(sourceOf(bytes), bytes.length)].map((entry) => {
        const data = new Uint8Array(entry.size);
        for (const { offset, length, position, source } of entry.extents)
          source.read(position, data.subarray(offset, offset + length));
        const { mode, uid, gid, mtime } = entry;
        return { path: entry.path, mode, uid, gid, seconds: mtime.seconds, data };
      });
      assert.deepEqual(
        read,
        members.map(({ form, ...rest }) => ({
          ...rest,
          path: form === "header" ? rest.path.slice(0, 100) : rest.path,
        })),
      );
    }),
    { numRuns: 200 },
  );
});

test("readTar() meets random bytes with ARCHIVE_INVALID or an end, never with anything else", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 4096 }), (bytes) => readsOrRefuses(bytes)),
    { numRuns: 500 },
  );
});

test("readTar() survives any damage to a good archive", () => {
  const damage = fc.array(
    fc.record({ at: fc.nat({ max: seed.length - 1 }), mask: fc.integer({ min: 1, max: 255 }) }),
    { minLength: 1, maxLength: 12 },
  );
  fc.assert(
    fc.property(damage, fc.boolean(), fc.nat({ max: seed.length }), (flips, repaired, length) => {
      const bytes = seed.slice(0, flips.length % 4 === 0 ? length : seed.length);
      for (const { at, mask } of flips) if (at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ mask;
      // With a checksum that fits, the damage reaches the parsers behind it.
      if (repaired) repairChecksums(bytes);
      readsOrRefuses(bytes);
    }),
    { numRuns: 3000 },
  );
});

/** One of everything that has a parser of its own. */
const seed = tarOf(
  pax({ path: "pax/name", mtime: "-1.5", uid: "3000000", "SCHILY.xattr.user.x": "y" }),
  member({ name: "a", data: "data" }),
  pax({ comment: "global", gid: "7" }, "g"),
  gnuLong("L", `long/${"n".repeat(150)}`),
  gnuLong("K", `long/${"t".repeat(150)}`),
  member({ name: "link", typeflag: "2", format: "gnu" }),
  pax({
    "GNU.sparse.major": "1",
    "GNU.sparse.minor": "0",
    "GNU.sparse.realsize": "9000",
    "GNU.sparse.name": "s",
  }),
  member({
    name: "s",
    data: concat(new TextEncoder().encode("1\n512\n4\n".padEnd(512, "\0")), new Uint8Array(4)),
  }),
  pax({ "GNU.sparse.size": "9000", "GNU.sparse.map": "0,2,100,2" }),
  member({ name: "t", data: "abcd" }),
  member({ name: "dev", typeflag: "3", major: 5, minor: 1 }),
);

function encode({
  path: name,
  form,
  seconds,
  ...rest
}: typeof memberOf extends fc.Arbitrary<infer T> ? T : never): Uint8Array {
  const description: TarMember = { name, mtime: seconds, ...rest };
  if (form === "pax") return concat(pax({ path: name }), member({ ...description, name: "short" }));
  if (form === "gnu")
    return concat(gnuLong("L", name), member({ ...description, name: "short", format: "gnu" }));
  return member(description);
}

function readsOrRefuses(bytes: Uint8Array): void {
  try {
    for (const { extents } of readTar(sourceOf(bytes), bytes.length))
      for (const { position, length } of extents) assert.ok(position + length <= bytes.length);
  } catch (error) {
    if (!(error instanceof SupermachineError) || error.code !== "ARCHIVE_INVALID") throw error;
  }
}

function repairChecksums(bytes: Uint8Array): void {
  for (let at = 0; at + 512 <= bytes.length; at += 512) {
    const block = bytes.subarray(at, at + 512);
    if (block[257] !== 0x75) continue;
    block.fill(0x20, 148, 156);
    const sum = block.reduce((total, byte) => total + byte, 0);
    block.set(new TextEncoder().encode(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
  }
}
