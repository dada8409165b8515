import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { MADV_DONTNEED } from "../../abi/linux.x64.generated.ts";
import { pageLength } from "../../snapshot/page-map.ts";
import { Mapping } from "../../sys/linux/mapping.ts";
import { privatePages } from "./private-pages.ts";
import { mapSavedRam } from "./saved-ram.ts";

const MiB = 2 ** 20;
const skip = existsSync("/proc/self/pagemap") ? false : "no /proc/self/pagemap";

test("a page is private once it was written, until it is dropped; reading makes none private", {
  skip,
}, (t) => {
  const folder = mkdtempSync(join(tmpdir(), "private-pages-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "memory");
  writeFileSync(file, new Uint8Array(4 * MiB).fill(1, 0, MiB));
  // Two regions, the first one made of two pieces: as a chain of snapshots has it.
  const runs = [
    { file, offset: 0, length: MiB / 2 },
    { file, offset: MiB / 2, length: 3.5 * MiB },
  ];
  const lengths = [MiB, 3 * MiB];
  const mappings = lengths.map((length) => Mapping.anonymous(length));
  t.after(() => {
    for (const mapping of mappings) mapping[Symbol.dispose]();
  });
  const ram = mappings.map((mapping, index) => ({ start: index * 16 * MiB, mapping }));
  mapSavedRam(runs, ram, { singly: false });
  const [low, high] = mappings.map((mapping) => mapping.bytes());
  const pages = (): number[] => {
    const map = privatePages(ram);
    return Array.from({ length: map.pages }, (_, page) => page).filter((page) => map.has(page));
  };
  assert.ok(low && high);
  assert.deepEqual(pages(), []);
  assert.equal(low[3 * pageLength], 1);
  assert.equal(high[5 * pageLength], 0);
  assert.deepEqual(pages(), [], "read only");
  low[3 * pageLength] = 1;
  low[200 * pageLength] = 2;
  high[0] = 3;
  high[3 * MiB - 1] = 4;
  assert.deepEqual(pages(), [3, 200, 256, 1023], "written, one of them with what was there");
  ram[0]?.mapping.advise(MADV_DONTNEED, { offset: 200 * pageLength, length: pageLength });
  assert.equal(low[200 * pageLength], 1);
  assert.deepEqual(pages(), [3, 256, 1023], "dropped, and read again");
});
