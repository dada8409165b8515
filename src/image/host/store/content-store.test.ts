import assert from "node:assert/strict";
import { chmodSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { test } from "node:test";
import fc from "fast-check";
import type { Descriptor } from "../../manifest.ts";
import { sha256 } from "../testing/fake-registry.ts";
import { TemporaryHome } from "../testing/temporary-home.ts";
import { ContentStore, digestOf } from "./content-store.ts";
import { Lease, leasedDigests } from "./lease.ts";
import { listPartials, PartialBlob } from "./partial-blob.ts";

function describe(bytes: Uint8Array): Descriptor {
  return { mediaType: "", digest: sha256(bytes), size: bytes.length, annotations: {} };
}

test("ingest() stores what matches and nothing else, however it is cut into pieces", async () => {
  using home = new TemporaryHome();
  const store = new ContentStore(home);
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 6 }), async (pieces) => {
      const whole = Buffer.concat(pieces);
      const stored = await store.ingest(pieces, { digest: sha256(whole), size: whole.length });
      assert.deepEqual(stored, { digest: sha256(whole), size: whole.length });
      assert.deepEqual(Buffer.from(store.read(stored.digest, 1000) ?? []), whole);
      assert.ok(await store.verify(stored.digest));
    }),
    { numRuns: 25 },
  );
  const bytes = Buffer.from("content");
  const wrong = [{ digest: sha256(Buffer.from("other")) }, { size: 6 }, { size: 8 }];
  for (const expected of wrong)
    await assert.rejects(store.ingest([bytes], expected), { code: "DIGEST_MISMATCH" });
  assert.equal(store.has(sha256(bytes)), false);
  assert.deepEqual(await readdir(home.temporary), []);
});

test("ingest() stops reading as soon as there is more than announced", async () => {
  using home = new TemporaryHome();
  let yielded = 0;
  function* endless(): Generator<Uint8Array> {
    for (; ; yielded++) yield new Uint8Array(10);
  }
  await assert.rejects(new ContentStore(home).ingest(endless(), { size: 100 }), { code: "DIGEST_MISMATCH" });
  assert.ok(yielded <= 11);
});

test("a source that fails leaves nothing behind", async () => {
  using home = new TemporaryHome();
  function* failing(): Generator<Uint8Array> {
    yield new Uint8Array(10);
    throw new Error("source failed");
  }
  await assert.rejects(new ContentStore(home).ingest(failing(), {}), /source failed/);
  assert.deepEqual(await readdir(home.temporary), []);
});

test("sha512 digests are verified as such", async () => {
  using home = new TemporaryHome();
  const store = new ContentStore(home);
  const digest = digestOf(Buffer.from("x"), `sha512:${"0".repeat(128)}` as ReturnType<typeof digestOf>);
  await store.write(Buffer.from("x"), { digest });
  assert.ok(await store.verify(digest));
  assert.deepEqual(await store.list(), [digest]);
});

test("read(), has() and verify() notice what changed on the disk", async () => {
  using home = new TemporaryHome();
  const store = new ContentStore(home);
  const { digest } = await store.write(Buffer.from("content"));
  chmodSync(store.path(digest), 0o600);
  writeFileSync(store.path(digest), "Content");
  assert.equal(store.read(digest, 100), undefined);
  assert.equal(await store.verify(digest), false);
  writeFileSync(store.path(digest), "cont");
  assert.equal(store.has(digest, 7), false);
  await store.write(Buffer.from("content"));
  assert.ok(await store.verify(digest));
  assert.equal(store.read(digest, 6), undefined, "longer than allowed");
});

test("a partial blob is taken over by one of many, and only what is whole is published", async () => {
  using home = new TemporaryHome();
  const store = new ContentStore(home);
  const bytes = Buffer.from("0123456789");
  const descriptor = describe(bytes);
  {
    await using partial = await PartialBlob.open(store, descriptor);
    await partial.append(bytes.subarray(0, 4));
    await assert.rejects(partial.finish(), { code: "DIGEST_MISMATCH" });
    await partial.append(bytes.subarray(0, 4));
  }
  const opened = await Promise.all([1, 2, 3].map(() => PartialBlob.open(store, descriptor)));
  assert.deepEqual(opened.map(({ length }) => length).sort(), [0, 0, 4]);
  const firsts = await Promise.all(opened.map((partial) => partial.isFirst()));
  assert.equal(firsts.filter(Boolean).length, 1);
  assert.equal((await listPartials(home)).filter(({ active }) => active).length, 3);
  const winner = opened.find(({ length }) => length === 4);
  await winner?.append(bytes.subarray(4));
  await winner?.finish();
  for (const partial of opened) await partial[Symbol.asyncDispose]();
  assert.ok(await store.verify(descriptor.digest));
  assert.deepEqual(await listPartials(home), []);
});

test("a lease counts until it is disposed", async () => {
  using home = new TemporaryHome();
  const digests = [sha256(Buffer.from("a")), sha256(Buffer.from("b"))];
  {
    await using lease = new Lease(home);
    await lease.add(digests.slice(0, 1));
    await lease.add(digests.slice(1));
    assert.deepEqual([...(await leasedDigests(home))], digests);
  }
  assert.equal((await leasedDigests(home)).size, 0);
  assert.deepEqual(await readdir(home.temporary), []);
});
