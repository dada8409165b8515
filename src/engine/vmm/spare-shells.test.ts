import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { MachineShell, ShellShape } from "./machine-shell.ts";
import { SpareShells } from "./spare-shells.ts";

const rootLength = 128 * 2 ** 20;
const shape = { cpus: 1, memoryMiB: 256, rootLength };

function setup(context: TestContext) {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const made: (ShellShape & { disposed: boolean })[] = [];
  const shells = new SpareShells((wanted) => {
    const record = { ...wanted, disposed: false };
    made.push(record);
    const shell = { vm: record, ram: [], vcpus: [] } as unknown as MachineShell;
    return Object.assign(shell, {
      [Symbol.dispose]: () => {
        record.disposed = true;
      },
    });
  });
  return { shells, made, tick: (ms: number) => context.mock.timers.tick(ms) };
}

test("a process's first machine leaves no spare; the second does, once it is calm", (context) => {
  const { shells, made, tick } = setup(context);
  shells.take(shape);
  shells.expectMore(shape);
  tick(10_000);
  assert.equal(made.length, 1);
  shells.take(shape);
  shells.expectMore(shape);
  tick(100);
  assert.equal(made.length, 2);
  tick(1000);
  assert.equal(made.length, 3);
});

test("a spare goes to a machine of its shape, once; another shape gets one of its own", (context) => {
  const { shells, made, tick } = setup(context);
  shells.expectMore(shape);
  shells.expectMore(shape);
  tick(1000);
  const other = shells.take({ cpus: 2, memoryMiB: 256, rootLength });
  const larger = shells.take({ ...shape, rootLength: 2 * rootLength });
  const spare = shells.take(shape);
  const fresh = shells.take(shape);
  assert.deepEqual([other.vm, larger.vm, spare.vm, fresh.vm], [made[1], made[2], made[0], made[3]]);
});

test("a spare that nobody takes goes: when another shape is wanted, and after a minute", (context) => {
  const { shells, made, tick } = setup(context);
  shells.expectMore(shape);
  shells.expectMore(shape);
  tick(1000);
  shells.expectMore({ cpus: 4, memoryMiB: 512, rootLength });
  tick(1000);
  assert.deepEqual(
    made.map(({ cpus, disposed }) => [cpus, disposed]),
    [
      [1, true],
      [4, false],
    ],
  );
  tick(60_000);
  assert.equal(made[1]?.disposed, true);
  assert.equal(shells.take(shape).vm, made[2]);
});

test("a spare that cannot be made is nobody's failure", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  let tries = 0;
  const shells = new SpareShells(() => {
    tries += 1;
    throw new Error("no more descriptors");
  });
  shells.expectMore(shape);
  shells.expectMore(shape);
  context.mock.timers.tick(1000);
  assert.equal(tries, 1);
  assert.throws(() => shells.take(shape), /no more descriptors/);
});
