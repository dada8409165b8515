// How long a machine that has written much stands still for a snapshot, with a guest of a few bytes that goes on writing.
import { setTimeout as sleep } from "node:timers/promises";
import { PhaseClock } from "../dist/src/engine/phase-clock.js";
import { driverKernel, rewrite, rewrittenAt } from "../dist/tests/engine/tiny-driver.js";
import { median, noKvm } from "./sample.mjs";
import { keepSnapshot, withSnapshotOf } from "./tiny-machine.mjs";

const runs = 7;
const writtenMiB = 100;

/** From the order to stop to the order to go on, and the whole of it. */
export async function measurePause() {
  const reason = noKvm();
  if (reason !== undefined) return [{ what: "pause of a snapshot", skipped: reason }];
  return await withSnapshotOf(driverKernel(rewrite({ pages: writtenMiB * 256, turns: 100 })), measure);
}

async function measure({ store, restore }) {
  const pauses = [];
  const totals = [];
  for (let run = 0; run <= runs; run++) {
    const { machine, config, parent } = await restore(new PhaseClock());
    await fill(machine);
    const clock = clockPauses(machine);
    const started = performance.now();
    const child = await keepSnapshot(machine, { store, config, parent });
    if (run > 0) totals.push(performance.now() - started);
    if (run > 0) pauses.push(clock.ms);
    await machine.kill();
    await store.remove(child);
  }
  const what = `snapshot of a machine with ${writtenMiB} MiB written, which are rewritten`;
  return [
    { what: `${what} (tiny guest)`, value: median(totals), unit: "ms" },
    { what: "  of it: standing still", value: median(pauses), unit: "ms" },
  ];
}

/** The guest itself is slow to write so much. */
async function fill(machine) {
  const { ram } = await machine.pause();
  ram[0].mapping.bytes(rewrittenAt, writtenMiB * 2 ** 20).fill(1);
  machine.resume();
  await sleep(200);
}

function clockPauses(machine) {
  const clock = { ms: 0 };
  const { pause, resume } = Object.getPrototypeOf(machine);
  let started = 0;
  machine.pause = async () => {
    started = performance.now();
    return await pause.call(machine);
  };
  machine.resume = () => {
    resume.call(machine);
    clock.ms = performance.now() - started;
  };
  return clock;
}
