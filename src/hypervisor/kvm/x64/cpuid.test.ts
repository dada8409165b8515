import assert from "node:assert/strict";
import { test } from "node:test";
import { type CpuidEntry, decodeCpuid, encodeCpuid, guestCpuid } from "./cpuid.ts";

const all = 0xffff_ffff;

/** A processor that has every bit of these leaves. */
function everything(): Uint8Array {
  const leaves = [0x1, 0x4, 0xa, 0xb, 0x1f, 0x4000_0001, 0x8000_0001, 0x8000_0008, 0x8000_000a, 0x8000_001e];
  const entries = leaves.map((leaf) => ({
    leaf,
    subleaf: 0,
    flags: 0,
    eax: all,
    ebx: all,
    ecx: all,
    edx: all,
  }));
  return encodeCpuid([{ leaf: 0, subleaf: 0, flags: 0, eax: 0x1f, ebx: 0, ecx: 0, edx: 0 }, ...entries]);
}

function seen(profile: {
  index: number;
  count: number;
  nested?: boolean;
  tscDeadline?: boolean;
}): CpuidEntry[] {
  return decodeCpuid(guestCpuid(everything(), { tscDeadline: true, ...profile }));
}

function leaf(entries: readonly CpuidEntry[], number: number, subleaf = 0): CpuidEntry {
  const found = entries.filter((entry) => entry.leaf === number && entry.subleaf === subleaf);
  assert.equal(found.length, 1);
  return found[0]!;
}

test("a vCPU has its own id in every leaf that has one", () => {
  const entries = seen({ index: 5, count: 6 });
  assert.equal(leaf(entries, 0x1).ebx >>> 24, 5);
  assert.equal(leaf(entries, 0xb, 0).edx, 5);
  assert.equal(leaf(entries, 0xb, 1).edx, 5);
  assert.equal(leaf(entries, 0x8000_001e).eax, 5);
});

test("all vCPUs are cores of one socket, one thread each", () => {
  const entries = seen({ index: 0, count: 6 });
  assert.equal((leaf(entries, 0x1).ebx >>> 16) & 0xff, 6);
  assert.deepEqual(
    [leaf(entries, 0xb, 0).ebx, leaf(entries, 0xb, 1).ebx, leaf(entries, 0xb, 1).eax],
    [1, 6, 3],
  );
  assert.equal(leaf(entries, 0x4).eax >>> 26, 5);
  assert.equal(leaf(entries, 0x8000_0008).ecx & 0xff, 5);
  assert.ok(entries.every((entry) => entry.leaf !== 0x1f));
});

test("a machine with one vCPU does not claim more threads", () => {
  const entries = seen({ index: 0, count: 1 });
  assert.equal((leaf(entries, 0x1).edx >>> 28) & 1, 0);
  assert.equal((leaf(entries, 0x8000_0001).ecx >>> 1) & 1, 0);
  assert.equal(leaf(entries, 0xb, 1).eax, 0);
});

test("nested virtualisation is shown only when asked for", () => {
  const bits = (entries: CpuidEntry[]): number[] => [
    (leaf(entries, 0x1).ecx >>> 5) & 1,
    (leaf(entries, 0x8000_0001).ecx >>> 2) & 1,
    leaf(entries, 0x8000_000a).edx,
  ];
  assert.deepEqual(bits(seen({ index: 0, count: 1 })), [0, 0, 0]);
  assert.deepEqual(bits(seen({ index: 0, count: 1, nested: true })), [1, 1, all]);
});

test("asynchronous page faults are hidden, KVM's other services are not", () => {
  const { eax } = leaf(seen({ index: 0, count: 1 }), 0x4000_0001);
  assert.equal(eax >>> 0, (all & ~((1 << 4) | (1 << 10) | (1 << 14))) >>> 0);
});

test("performance counters are hidden, the hypervisor is not, the deadline timer is where there is one", () => {
  const entries = seen({ index: 0, count: 1 });
  assert.equal(leaf(entries, 0xa).eax, 0);
  assert.equal(leaf(entries, 0x1).ecx >>> 31, 1);
  assert.equal((leaf(entries, 0x1).ecx >>> 24) & 1, 1);
  assert.equal((leaf(seen({ index: 0, count: 1, tscDeadline: false }), 0x1).ecx >>> 24) & 1, 0);
});
