import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { Vm } from "../../hypervisor/vm.ts";
import type { OpenedSnapshot } from "../../snapshot/host/open-snapshot.ts";
import { PageMap, pageLength } from "../../snapshot/page-map.ts";
import type { WorkingSet } from "../../snapshot/working-set.ts";
import { Home } from "../../storage/home.ts";
import { Mapping } from "../../sys/linux/mapping.ts";
import type { RamPiece } from "./machine-shell.ts";
import { presentPages } from "./private-pages.ts";
import { mapSavedRam } from "./saved-ram.ts";
import { bringIn, keepWorkingSet } from "./working-set.ts";

const MiB = 2 ** 20;
const skip = existsSync("/proc/self/pagemap") ? false : "no /proc/self/pagemap";
/** Where the second of two regions is in the guest. */
const highStart = 64 * MiB;

test("what a guest touched is found out page by page, and what it wrote", { skip }, (t) => {
  const { ram, bytes } = savedRam(t, { singly: true });
  const [low = assert.fail(), high = assert.fail()] = bytes;
  assert.equal(low[7 * pageLength], 1);
  low[100 * pageLength] = 2;
  high[2 * pageLength] = 3;
  const { touched, written } = presentPages(ram);
  assert.deepEqual(listed(written), [100, 256 + 2]);
  for (const page of [7, 100, 256 + 2]) assert.ok(touched.has(page));
});

test("written pages are there before they are written, and the guest's tables get all of them", {
  skip,
}, (t) => {
  const { ram } = savedRam(t, { singly: false });
  const asked: [number, number][] = [];
  bringIn({ vm: tables((start, length) => asked.push([start, length]) > 0), ram }, someSet());
  assert.deepEqual(listed(presentPages(ram).written), [4, 5, 255, 256]);
  assert.deepEqual(asked, [
    [3 * pageLength, 4 * pageLength],
    [255 * pageLength, pageLength],
    [highStart, 2 * pageLength],
  ]);
});

test("a host that cannot fill the guest's tables is asked once", { skip }, (t) => {
  const { ram } = savedRam(t, { singly: false });
  let asked = 0;
  bringIn({ vm: tables(() => ++asked === 0), ram }, someSet());
  assert.equal(asked, 1);
});

test("a set of more pages than there are ends with those that there are", { skip }, (t) => {
  const { ram } = savedRam(t, { singly: false });
  const beyond = PageMap.full(600);
  bringIn({ vm: tables(() => true), ram }, { touched: beyond, written: beyond });
  assert.equal(presentPages(ram).written.count, 512);
});

test("a machine whose memory has just gone keeps nothing, and nothing is thrown", { skip }, (t) => {
  const { ram } = savedRam(t, { singly: true });
  for (const { mapping } of ram) mapping[Symbol.dispose]();
  const folder = mkdtempSync(join(tmpdir(), "working-set-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const snapshot = { directory: folder } as OpenedSnapshot;
  assert.equal(keepWorkingSet(new Home(folder), snapshot, ram), undefined);
  assert.deepEqual(readdirSync(folder), []);
});

/** Two runs, the second of which crosses into the second region. */
function someSet(): WorkingSet {
  const touched = new PageMap(512);
  touched.add(3, 4);
  touched.add(255, 3);
  const written = new PageMap(512);
  written.add(4, 2);
  written.add(255, 2);
  return { touched, written };
}

function savedRam(
  t: TestContext,
  options: { readonly singly: boolean },
): { ram: RamPiece[]; bytes: Uint8Array[] } {
  const folder = mkdtempSync(join(tmpdir(), "working-set-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "memory");
  writeFileSync(file, new Uint8Array(2 * MiB).fill(1), { flush: true });
  const mappings = [Mapping.anonymous(MiB), Mapping.anonymous(MiB)];
  t.after(() => {
    for (const mapping of mappings) mapping[Symbol.dispose]();
  });
  const ram = mappings.map((mapping, index) => ({ start: index * highStart, mapping }));
  mapSavedRam([{ file, offset: 0, length: 2 * MiB }], ram, options);
  const bytes = mappings.map((mapping) => mapping.bytes());
  return { ram, bytes };
}

function tables(mapAhead: (start: number, length: number) => boolean): Vm {
  return { mapAhead } as unknown as Vm;
}

function listed(map: PageMap): number[] {
  return Array.from({ length: map.pages }, (_, page) => page).filter((page) => map.has(page));
}
