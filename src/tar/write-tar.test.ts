import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { bytesOf } from "./byte-string.ts";
import { readTar } from "./read-tar.ts";
import { concat, sourceOf } from "./testing/tar-builder.ts";
import { type TarMember, tarEnd, tarHeader, tarPadding } from "./write-tar.ts";

const path = fc
  .array(fc.string({ unit: "grapheme", minLength: 1, maxLength: 60 }), { minLength: 1, maxLength: 5 })
  .map((parts) => parts.map((part) => part.replace(/[/\0]/g, "_")).join("/"))
  .filter((text) => new TextEncoder().encode(text).length <= 200);

test("readTar() reads the members that tarHeader() describes", () => {
  const member = fc.record(
    {
      path,
      type: fc.constantFrom("file", "directory", "symlink"),
      mode: fc.integer({ min: 0, max: 0o7777 }),
      mtime: fc.integer({ min: 0, max: 2 ** 32 }),
      data: fc.uint8Array({ maxLength: 600 }),
      linkTarget: path,
    },
    { noNullPrototype: true },
  );
  fc.assert(
    fc.property(fc.array(member, { maxLength: 4 }), (members) => {
      const written = members.map(({ data, linkTarget, ...rest }) => ({
        ...(rest as TarMember),
        data: rest.type === "file" ? data : new Uint8Array(),
        linkTarget: rest.type === "symlink" ? linkTarget : "",
      }));
      const archive = archiveOf(
        written.map(({ data, ...fields }) => [{ ...fields, size: data.length }, data]),
      );
      const read = [...readTar(sourceOf(archive), archive.length)];
      assert.equal(read.length, written.length);
      for (const [index, entry] of read.entries()) {
        const { data, ...fields } = written[index]!;
        assert.equal(entry.path, utf8(fields.path));
        assert.equal(entry.linkTarget, utf8(fields.linkTarget));
        assert.deepEqual(
          [entry.type, entry.mode, entry.mtime.seconds],
          [fields.type, fields.mode, fields.mtime],
        );
        assert.deepEqual(contentOf(entry, archive), data);
      }
    }),
  );
});

test("a sparse file keeps its holes, one at its end as well", () => {
  const runs = [
    { offset: 512, length: 3 },
    { offset: 4096, length: 2 },
  ];
  const fields = { path: "memory", type: "file", mode: 0o600, mtime: 0, size: 5 } as const;
  const data = bytesOf("abcde");
  const archive = archiveOf([[{ ...fields, sparse: { length: 10_000, runs } }, data]]);
  const [entry] = readTar(sourceOf(archive), archive.length);
  assert.equal(entry?.path, "memory");
  assert.equal(entry?.size, 10_000);
  assert.deepEqual(
    entry?.extents.map(({ offset, length }) => ({ offset, length })),
    runs,
  );
});

test("a file of more than eight gibibytes has its size in the pax header", () => {
  const size = 9 * 2 ** 30;
  const header = tarHeader({ path: "big", type: "file", mode: 0o600, mtime: 0, size });
  const source = sourceOf(header);
  const [entry] = readTar(
    { read: (at, into) => (at < header.length ? source.read(at, into) : undefined) },
    size * 2,
  );
  assert.equal(entry?.size, size);
});

function archiveOf(members: readonly (readonly [TarMember, Uint8Array])[]): Uint8Array {
  return concat(
    ...members.flatMap(([fields, data]) => [tarHeader(fields), data, tarPadding(data.length)]),
    tarEnd,
  );
}

function contentOf(
  entry: { extents: readonly { position: number; length: number }[] },
  archive: Uint8Array,
): Uint8Array {
  return concat(...entry.extents.map(({ position, length }) => archive.slice(position, position + length)));
}

function utf8(text: string): string {
  return String.fromCharCode(...new TextEncoder().encode(text));
}
