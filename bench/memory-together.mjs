// Several machines of one template in one process; prints rows of bench/memory.mjs as JSON.
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Machine } from "supermachine";
import { image, machineOptions } from "./images.mjs";

const count = 4;
const settleMs = 3000;
const usedMiB = 100;
/** Free pages are reported every two seconds, a part of them each time. */
const givenBackMs = 20_000;
const cachedMiB = 100;
/** The guest is asked for its caches, then reports its free pages. */
const droppedMs = 30_000;

const engine = process.argv[2];
const machines = [];
await add();
// The first finds out what the others are given, so it is not like them.
await add();
const before = usage();
const guestsBefore = guests();
while (machines.length < count + 2) await add();
const after = usage();
const guestsAfter = guests();
const shared = usage("Rss") - after;
const [machine] = machines;
await machine.exec(["dd", "if=/dev/zero", "of=/tmp/used", "bs=1M", `count=${usedMiB}`]);
const used = usage();
await machine.exec(["rm", "/tmp/used"]);
await sleep(givenBackMs);
const left = usage();
for (const each of machines) await each.kill();
const cachedBack = await measureCaches();

console.log(
  JSON.stringify([
    {
      what: "each further idle machine of a process, PSS, guest and all",
      value: (after - before) / count,
      unit: "MiB",
    },
    {
      what: "  of it: not the guest's memory",
      value: (after - guestsAfter - (before - guestsBefore)) / count,
      unit: "MiB",
    },
    {
      what: `${machines.length} machines of a process: RSS that is more than PSS`,
      value: shared,
      unit: "MiB",
    },
    {
      what: `of ${usedMiB} MiB that a guest used and freed, back after ${givenBackMs / 1000} s`,
      value: (100 * (used - left)) / usedMiB,
      unit: "%",
    },
    {
      what: `of ${cachedMiB} MiB that a guest had cached, back ${droppedMs / 1000} s after its last command`,
      value: (100 * cachedBack) / cachedMiB,
      unit: "%",
    },
  ]),
);

async function add() {
  const machine = await Machine.create(image("busybox"), { ...machineOptions(engine), network: "none" });
  await machine.exec(["true"]);
  machines.push(machine);
  await sleep(settleMs);
}

/** What comes back of a guest's caches: of its disk, for the files on it are not cached. */
async function measureCaches() {
  const options = { ...machineOptions(engine), network: "none", reclaimAfterMs: settleMs };
  const machine = await Machine.create(image("python"), options);
  await machine.exec(["true"]);
  const fresh = usage();
  await machine.exec(["dd", "if=/dev/pmem0", "of=/dev/null", "bs=1M", `count=${cachedMiB}`]);
  const cached = usage();
  if (cached - fresh < cachedMiB / 2) throw new Error("The guest has cached nothing");
  await sleep(droppedMs);
  const left = usage();
  await machine.kill();
  return cached - left;
}

/** Of this process, in MiB. */
function usage(kind = "Pss") {
  const text = readFileSync("/proc/self/smaps_rollup", "utf8");
  return Number(new RegExp(`^${kind}: +([0-9]+) kB`, "m").exec(text)[1]) / 1024;
}

/** PSS of all mappings of a snapshot's memory, in MiB. */
function guests() {
  const mappings = readFileSync("/proc/self/smaps", "utf8").split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  const ofGuests = mappings.filter((text) => /^[^\n]*\/memory\.img/.test(text));
  return ofGuests.reduce((sum, text) => sum + Number(/^Pss: +([0-9]+) kB/m.exec(text)[1]), 0) / 1024;
}
