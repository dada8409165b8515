import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import type { MemoryRun } from "../memory-runs.ts";
import { PageMap, pageLength } from "../page-map.ts";
import { ArrayMemory } from "../testing/array-memory.ts";
import { MemoryWriter } from "./memory-writer.ts";

const folder = mkdtempSync(join(tmpdir(), "memory-writer-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const pages = 512;
let files = 0;

/** A memory that notes what it is told to change. */
class ChangingMemory extends ArrayMemory {
  readonly #base: Uint8Array;
  #changed = new PageMap(pages);

  constructor(base: Uint8Array) {
    super(2);
    this.#base = base;
    this.bytes.set(base);
  }

  /** Half a page becomes `byte`, a whole one zero, or what it is in the base. */
  change({ start, count, to }: Change): void {
    for (let page = start; page < Math.min(start + count, pages); page++) {
      const at = page * pageLength;
      if (to === "base") this.bytes.set(this.#base.subarray(at, at + pageLength), at);
      else this.bytes.fill(to, at, at + (to === 0 ? pageLength : pageLength / 2));
      this.#changed.add(page);
    }
  }

  takeChanged(): PageMap {
    const taken = this.#changed;
    this.#changed = new PageMap(pages);
    return taken;
  }
}

interface Change {
  readonly start: number;
  readonly count: number;
  readonly to: number | "base";
}

const changes = fc.array(
  fc.record({
    start: fc.nat(pages - 1),
    count: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 60 })),
    to: fc.constantFrom<number | "base">(0, 1, 2, "base"),
  }),
  { maxLength: 8 },
);

for (const hasBase of [false, true])
  test(`a memory that changes between and during the passes ends up as it was at the last one (base: ${hasBase})`, async () => {
    await fc.assert(
      fc.asyncProperty(
        changes,
        changes,
        fc.array(fc.record({ before: changes, during: changes }), { maxLength: 3 }),
        fc.boolean(),
        async (first, written, passes, staged) => {
          const base = new ArrayMemory(2);
          if (hasBase)
            for (const { start, count, to } of first)
              base.fill(start, Math.min(count, pages - start), to === "base" ? 3 : to);
          const memory = new ChangingMemory(base.bytes);
          for (const change of written) memory.change(change);
          const { path, writer } = await created(memory, hasBase ? base : undefined);
          for (const { before, during } of passes) {
            for (const change of before) memory.change(change);
            const copying = writer.copy(memory, memory.takeChanged());
            for (const change of during) {
              memory.change(change);
              await new Promise((resolve) => setImmediate(resolve));
            }
            await copying;
          }
          const candidates = memory.takeChanged();
          const expected = Uint8Array.from(memory.bytes);
          if (staged) writer.stage(memory, candidates);
          else await writer.copy(memory, candidates);
          memory.change({ start: 0, count: pages, to: 4 });
          const map = await writer.finish();
          await writer[Symbol.asyncDispose]();
          assertIs(path, map, { expected, base: base.bytes });
        },
      ),
      { numRuns: 60 },
    );
  });

test("all pages are candidates of a first pass that is given none", async () => {
  const base = new ArrayMemory(2).fill(0, 10, 1);
  const memory = new ArrayMemory(2).fill(5, 300, 2);
  const { path, writer } = await created(memory, base);
  await writer.copy(memory);
  const expected = Uint8Array.from(memory.bytes);
  assertIs(path, await writer.finish(), { expected, base: base.bytes });
  await writer[Symbol.asyncDispose]();
});

test("gaps are closed with what the base has, also where something else was copied meanwhile", async () => {
  const base = new ArrayMemory(8).fill(0, 2048, 7);
  const memory = new ArrayMemory(8).fill(0, 2048, 8);
  const { path, writer } = await created(memory, base);
  await writer.copy(memory);
  for (let page = 0; page < 2048; page += 2) memory.fill(page, 1, 7);
  const changed = new PageMap(2048);
  changed.add(0, 2048);
  writer.stage(memory, changed);
  const map = await writer.finish();
  await writer[Symbol.asyncDispose]();
  assert.ok([...map.runs()].length <= 512);
  const file = readFileSync(path);
  for (const { start, count } of map.runs())
    assert.equal(
      Buffer.compare(
        file.subarray(start * pageLength, (start + count) * pageLength),
        memory.view(start * pageLength, count * pageLength),
      ),
      0,
    );
  for (let page = 1; page < 2048; page += 2) assert.ok(map.has(page));
});

test("what is zero at every pass takes no space", async () => {
  const memory = new ArrayMemory(2);
  const { path, writer } = await created(memory, new ArrayMemory(2).fill(0, pages, 1));
  await writer.copy(memory);
  assert.equal((await writer.finish()).count, pages);
  await writer[Symbol.asyncDispose]();
  assert.ok(statSync(path).blocks * 512 <= 64 * 1024);
});

async function created(
  { length }: ArrayMemory,
  base: ArrayMemory | undefined,
): Promise<{ path: string; writer: MemoryWriter }> {
  const number = files++;
  const runs: MemoryRun[] = [{ file: join(folder, `base-${number}`), offset: 0, length }];
  if (base !== undefined) writeFileSync(runs[0]?.file ?? assert.fail(), base.bytes);
  const path = join(folder, `memory-${number}`);
  return { path, writer: await MemoryWriter.create(path, { length, base: base && runs }) };
}

/** The file speaks about exactly the pages that differ, has their bytes, and nothing else. */
function assertIs(
  path: string,
  map: PageMap,
  { expected, base }: { expected: Uint8Array; base: Uint8Array },
): void {
  const file = readFileSync(path);
  const zero = new Uint8Array(pageLength);
  for (let page = 0; page < expected.length / pageLength; page++) {
    const of = (bytes: Uint8Array): Uint8Array => bytes.subarray(page * pageLength, (page + 1) * pageLength);
    const differs = Buffer.compare(of(expected), of(base)) !== 0;
    assert.equal(map.has(page), differs, `page ${page}`);
    assert.equal(Buffer.compare(of(file), differs ? of(expected) : zero), 0, `page ${page}`);
  }
}
