import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { addressSpaceEnd, type Gpa, gpa } from "./address.ts";
import { GuestFault } from "./guest-fault.ts";
import { HeapMemory } from "./heap-memory.ts";
import { MappedMemory } from "./mapped-memory.ts";
import { WriteLog } from "./write-log.ts";

const low = gpa(0x1000);
const high = gpa(0x4000);

/** Two adjoining regions at 0x1000, a hole at 0x3000, one region at 0x4000. */
function twoRegionsAndAHole(): HeapMemory {
  return new HeapMemory([
    { start: high, length: 0x1000 },
    { start: low, length: 0x1000 },
    { start: gpa(0x2000), length: 0x1000 },
  ]);
}

test("accessors reach the first and the last byte of a region, and not one further", () => {
  const memory = twoRegionsAndAHole();
  memory.setU32(low, 0xdead_beef);
  assert.equal(memory.u32(low), 0xdead_beef);
  assert.equal(memory.u16(low), 0xbeef);
  memory.setU32(gpa(0x4ffc), 7);
  assert.equal(memory.u32(gpa(0x4ffc)), 7);
  for (const at of [0xfff, 0x2fff, 0x3000, 0x3ffe, 0x4ffd, 0x5000, 0])
    assert.throws(() => memory.u32(gpa(at)), GuestFault);
});

test("read() and write() cross adjoining regions but not a hole", () => {
  const memory = twoRegionsAndAHole();
  memory.write(gpa(0x1ffe), Uint8Array.of(1, 2, 3, 4));
  const back = new Uint8Array(4);
  memory.read(gpa(0x1ffe), back);
  assert.deepEqual(back, Uint8Array.of(1, 2, 3, 4));
  assert.throws(() => memory.write(gpa(0x2ffe), Uint8Array.of(9, 9, 9, 9)), GuestFault);
  assert.equal(memory.u16(gpa(0x2ffe)), 0);
  assert.throws(() => memory.read(gpa(0x2ffe), back), GuestFault);
});

test("view() is live and stays within one region", () => {
  const memory = twoRegionsAndAHole();
  memory.view(gpa(0x4ff0), 16)[15] = 0x5a;
  assert.equal(memory.u16(gpa(0x4ffe)), 0x5a00);
  assert.throws(() => memory.view(gpa(0x1ffe), 4), GuestFault);
  assert.equal(memory.view(gpa(0x5000 - 1), 1).length, 1);
});

test("covers() agrees with what read() and write() accept", () => {
  const memory = twoRegionsAndAHole();
  assert.equal(memory.covers(low, 0x2000), true);
  assert.equal(memory.covers(low, 0x2001), false);
  assert.equal(memory.covers(gpa(0x3000), 1), false);
  assert.equal(memory.covers(high, -1), false);
  assert.equal(memory.covers(high, Number.NaN), false);
});

test("read-only regions can be read and not written", () => {
  const memory = new HeapMemory([{ start: low, length: 0x1000, readOnly: true }]);
  assert.equal(memory.u32(low), 0);
  assert.equal(memory.slices(low, 8).length, 1);
  assert.equal(memory.covers(low, 8), true);
  assert.equal(memory.covers(low, 8, { writable: true }), false);
  const writes = [
    () => memory.setU16(low, 1),
    () => memory.setU32(low, 1),
    () => memory.storeRelease16(low, 1),
    () => memory.write(low, Uint8Array.of(1)),
    () => memory.view(low, 1),
    () => memory.slices(low, 1, { writable: true }),
  ];
  for (const write of writes) assert.throws(write, /read-only/);
});

test("address64() refuses addresses of more than 52 bits", () => {
  const memory = twoRegionsAndAHole();
  memory.setU32(low, 0xffff_ffff);
  memory.setU32(gpa(0x1004), 0x000f_ffff);
  assert.equal(memory.address64(low), addressSpaceEnd - 1);
  memory.setU32(gpa(0x1004), 0x0010_0000);
  assert.throws(() => memory.address64(low), GuestFault);
  memory.setU32(gpa(0x1004), 0xffff_ffff);
  assert.throws(() => memory.address64(low), GuestFault);
});

test("ring indices are read and written at even addresses only", () => {
  const memory = twoRegionsAndAHole();
  memory.storeRelease16(gpa(0x1002), 0x1_2345);
  assert.equal(memory.loadAcquire16(gpa(0x1002)), 0x2345);
  assert.equal(memory.u16(gpa(0x1002)), 0x2345);
  assert.throws(() => memory.loadAcquire16(gpa(0x1003)), GuestFault);
  assert.throws(() => memory.storeRelease16(gpa(0x4fff), 1), GuestFault);
});

test("numbers that are no addresses find nothing", () => {
  const memory = twoRegionsAndAHole();
  for (const at of [Number.NaN, -1, Number.POSITIVE_INFINITY, 2 ** 53] as Gpa[])
    assert.throws(() => memory.u16(at), GuestFault);
  assert.throws(() => memory.view(low, -1), GuestFault);
  assert.throws(() => gpa(1.5), RangeError);
  assert.throws(() => gpa(addressSpaceEnd), RangeError);
});

test("bytes of a region are asked for where it is touched, and a MiB that lies in it is one slice", () => {
  const MiB = 2 ** 20;
  const buffer = new ArrayBuffer(8 * MiB);
  const asked: string[] = [];
  const memory = new MappedMemory([
    {
      start: gpa(MiB),
      length: 8 * MiB,
      readOnly: false,
      bytes: (offset, length) => {
        asked.push(`${offset / MiB} ${length / MiB}`);
        return new Uint8Array(buffer, offset, length);
      },
    },
  ]);
  assert.equal(memory.covers(gpa(MiB), 8 * MiB), true);
  assert.deepEqual(asked, []);
  // Across the line between two pieces: they reach over it.
  memory.setU32(gpa(2 * MiB - 2), 0x0102_0304);
  assert.equal(memory.u16(gpa(2 * MiB)), 0x0102);
  assert.equal(memory.loadAcquire16(gpa(2 * MiB)), 0x0102);
  assert.deepEqual(asked, ["0 2"]);
  assert.equal(memory.u32(gpa(9 * MiB - 4)), 0);
  assert.deepEqual(asked, ["0 2", "7 1"]);
  asked.length = 0;
  const long = memory.slices(gpa(MiB + 8), 5 * MiB, { writable: true });
  assert.deepEqual(
    long.map(({ length }) => length),
    [2 * MiB - 8, 2 * MiB, MiB + 8],
  );
  for (const slice of long) slice.fill(7);
  for (let at = MiB; at < 8 * MiB; at += 0xf_fff0) assert.equal(memory.slices(gpa(at), MiB).length, 1);
  assert.equal(memory.view(gpa(6 * MiB), 8)[7], 7);
  assert.deepEqual(memory.view(gpa(9 * MiB), 0).length, 0);
  const out = new Uint8Array(3 * MiB);
  memory.read(gpa(MiB + 8), out);
  assert.ok(out.every((byte) => byte === 7));
  memory.write(gpa(2 * MiB), new Uint8Array(4 * MiB));
  assert.ok(new Uint8Array(buffer, MiB, 4 * MiB).every((byte) => byte === 0));
});

test("a log hears of whatever is written, or handed out to be written, before it is; and of nothing else", () => {
  const memory = twoRegionsAndAHole();
  const log = new WriteLog(low, 0x2000);
  const named = (write: () => void): number => {
    write();
    return log.take()[0] ?? 0;
  };
  assert.equal(
    named(() => memory.setU32(low, 1)),
    0,
    "not on yet",
  );
  const logging = memory.logWrites(log);
  const writes: [number, () => void][] = [
    [0b01, () => memory.setU16(gpa(0x1ffe), 1)],
    [0b10, () => memory.setU32(gpa(0x2000), 1)],
    [0b10, () => memory.storeRelease16(gpa(0x2ffe), 1)],
    [0b01, () => memory.write(low, Uint8Array.of(1))],
    [0b11, () => memory.write(gpa(0x1fff), Uint8Array.of(1, 2))],
    [0b10, () => memory.view(gpa(0x2ff0), 16)],
    [0b11, () => memory.slices(gpa(0x1f00), 0x200, { writable: true })],
    [0b11, () => memory.changed(low, 0x2000)],
    [0, () => memory.setU32(high, 1)],
    [0, () => memory.slices(low, 0x2000)],
    [0, () => memory.read(low, new Uint8Array(16))],
    [0, () => memory.u32(low)],
    [0, () => memory.loadAcquire16(low)],
    [0, () => memory.write(low, new Uint8Array(0))],
  ];
  for (const [pages, write] of writes) assert.equal(named(write), pages, `${write}`);
  const other = new WriteLog(high, 0x1000);
  const alsoLogging = memory.logWrites(other);
  logging[Symbol.dispose]();
  memory.setU32(low, 1);
  memory.setU32(high, 1);
  assert.deepEqual([log.take(), other.take()], [Uint8Array.of(0), Uint8Array.of(1)]);
  alsoLogging[Symbol.dispose]();
  memory.setU32(high, 1);
  assert.deepEqual(other.take(), Uint8Array.of(0));
});

test("add() refuses regions that overlap or leave the address space", () => {
  const memory = twoRegionsAndAHole();
  const region = (start: number, length: number) => ({
    start: gpa(start),
    length,
    readOnly: false,
    bytes: () => new Uint8Array(0),
  });
  assert.throws(() => memory.add(region(0x2ffe, 4)), /overlaps/);
  assert.throws(() => memory.add(region(0x3ffe, 4)), /overlaps/);
  assert.throws(() => memory.add(region(addressSpaceEnd - 2, 4)), /leaves the address space/);
  assert.throws(() => memory.add(region(0x8000, 0)), RangeError);
  memory.add(region(0x3000, 0x1000));
  assert.equal(memory.covers(low, 0x4000), true);
});

test("removed memory is a fault, cleared memory too", () => {
  const memory = twoRegionsAndAHole();
  memory.u16(high);
  memory.remove(high);
  assert.throws(() => memory.u16(high), GuestFault);
  assert.throws(() => memory.remove(high), RangeError);
  memory.clear();
  assert.throws(() => memory.u16(low), GuestFault);
  assert.deepEqual(memory.regions, []);
});

test("only guest faults are instances of GuestFault", () => {
  assert.ok(!(new SupermachineError("INTERNAL", "x") instanceof GuestFault));
  assert.ok(new GuestFault("x", { address: 0, length: 0 }) instanceof SupermachineError);
});

test("any mix of writes reads back as from one flat array", () => {
  const operation = fc.record({
    at: fc.integer({ min: 0, max: 0x180 }),
    bytes: fc.uint8Array({ maxLength: 0x60 }),
  });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 30 }), (operations) => {
      const memory = new HeapMemory([
        { start: gpa(0), length: 0x80 },
        { start: gpa(0x80), length: 0x40 },
        { start: gpa(0x100), length: 0x80 },
      ]);
      const model = new Uint8Array(0x180);
      for (const { at, bytes } of operations) {
        const end = at + bytes.length;
        const fits = bytes.length === 0 || end <= 0xc0 || (at >= 0x100 && end <= 0x180);
        assert.equal(memory.covers(gpa(at), bytes.length), fits);
        if (fits) {
          memory.write(gpa(at), bytes);
          model.set(bytes, bytes.length === 0 ? 0 : at);
        } else {
          assert.throws(() => memory.write(gpa(at), bytes), GuestFault);
        }
      }
      const back = new Uint8Array(0xc0);
      memory.read(gpa(0), back);
      assert.deepEqual(back, model.subarray(0, 0xc0));
      const tail = new Uint8Array(0x80);
      memory.read(gpa(0x100), tail);
      assert.deepEqual(tail, model.subarray(0x100));
    }),
  );
});
