// The host's side alone, with a guest of a few bytes: it runs on any KVM, an emulated one included.
import { setTimeout as sleep } from "node:timers/promises";
import { PhaseClock } from "../dist/src/engine/phase-clock.js";
import { tinyKernels } from "../dist/tests/engine/tiny-kernel.js";
import { median, noKvm } from "./sample.mjs";
import { withSnapshotOf } from "./tiny-machine.mjs";

const runs = 15;
const touchedMiB = 1;

/** From a snapshot on disk to a vCPU that enters its guest; and back again after use. */
export async function measureRestore() {
  const reason = noKvm();
  if (reason !== undefined) return [{ what: "host side of a restore", skipped: reason }];
  return await withSnapshotOf(tinyKernels.idle, measure);
}

async function measure({ restore }) {
  const restores = [];
  const phases = new Map();
  const resets = [];
  for (let run = 0; run <= runs; run++) {
    const clock = new PhaseClock();
    const started = performance.now();
    const { machine } = await restore(clock);
    const took = performance.now() - started;
    // Then its thread is ready, and what the next machine takes.
    machine.answered("setup");
    await sleep(700);
    // The first finds out what the others are given.
    machine.answered("command");
    if (run > 0) {
      restores.push(took);
      for (const { name, ms } of clock.phases) phases.set(name, [...(phases.get(name) ?? []), ms]);
    }
    // The last one is used again and again.
    for (let use = 0; run === runs && use < runs; use++) {
      resets.push(await resetAfterUse(machine));
      await sleep(20);
    }
    await machine.kill();
  }
  const rows = [...phases].map(([name, values]) => ({
    what: `  of it: ${name}`,
    value: median(values),
    unit: "ms",
  }));
  return [
    { what: "host side of a restore, 256 MiB (tiny guest)", value: median(restores), unit: "ms" },
    ...rows,
    { what: `reset in place, ${touchedMiB} MiB touched (tiny guest)`, value: median(resets), unit: "ms" },
  ];
}

async function resetAfterUse(machine) {
  const { ram } = await machine.pause();
  ram[0].mapping.bytes(64 * 2 ** 20, touchedMiB * 2 ** 20).fill(1);
  machine.resume();
  // Until it runs again: what is measured is not its resumption.
  await sleep(20);
  const started = performance.now();
  await machine.reset();
  return performance.now() - started;
}
