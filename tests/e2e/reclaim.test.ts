// What an idle guest has cached it drops, and works on; one that is to keep it keeps it.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { Machine, type MachineOptions } from "../../src/index.ts";
import { testImage } from "../fixtures/images.ts";
import { TestHome } from "./cli.ts";
import { noSnapshots, said, small } from "./snapshot-support.ts";

/** To ask a guest what it has cached is to use it, so it is asked rarely. */
const askEveryMs = 5_000;
const longestMs = 120_000;
const leastCachedMiB = 20;

describe("what a guest has cached", { skip: noSnapshots }, () => {
  let home: TestHome;
  before(() => {
    home = new TestHome();
  });
  after(() => home[Symbol.asyncDispose]());

  test("is dropped when nobody uses the machine", async () => {
    await using machine = await create({ reclaimAfterMs: 500 });
    const before = await cachedMiB(machine);
    const most = await fillCaches(machine, before);
    const wanted = before + (most - before) / 4;
    let left = most;
    for (let waited = 0; left > wanted && waited < longestMs; waited += askEveryMs) {
      await delay(askEveryMs);
      left = await cachedMiB(machine);
    }
    assert.ok(left <= wanted, `${before} MiB were cached, then ${most}, and ${left} are still`);
    assert.equal(await said(machine, "python3 -c 'print(6 * 7)'"), "42");
  });

  test("is kept with reclaimAfterMs: false", async () => {
    await using machine = await create({ reclaimAfterMs: false });
    const most = await fillCaches(machine, await cachedMiB(machine));
    await delay(2 * askEveryMs);
    const left = await cachedMiB(machine);
    assert.ok(left > most - 2, `${most} MiB were cached, and ${left} are`);
  });
});

async function create(options: MachineOptions): Promise<Machine> {
  return await Machine.create(testImage("python").layout, { ...small, memory: "192MiB", ...options });
}

/** Reads all files of the image; resolves with what is cached afterwards. */
async function fillCaches(machine: Machine, before: number): Promise<number> {
  await said(machine, "find / -xdev -type f -exec cat {} + >/dev/null");
  const most = await cachedMiB(machine);
  assert.ok(
    most >= before + leastCachedMiB,
    `${before} MiB were cached, and reading all files made it ${most}`,
  );
  return most;
}

/** As the guest says: pages of files, and of the disk below them. */
async function cachedMiB(machine: Machine): Promise<number> {
  return Number(
    await said(machine, "awk '/^(Buffers|Cached):/ { sum += $2 } END { print sum / 1024 }' /proc/meminfo"),
  );
}
