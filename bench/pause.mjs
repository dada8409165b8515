// How long a machine that has written much stands still for a snapshot, with a guest of a few bytes that goes on writing.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { PhaseClock } from "../dist/src/engine/phase-clock.js";
import { bootMachine } from "../dist/src/engine/vmm/boot-machine.js";
import { restoreSnapshot } from "../dist/src/engine/vmm/restore-snapshot.js";
import { SnapshotStore } from "../dist/src/snapshot/host/snapshot-store.js";
import { Home } from "../dist/src/storage/home.js";
import { DescriptorWatch } from "../dist/src/sys/linux/descriptor-watch.js";
import { driverKernel, rewrite, rewrittenAt } from "../dist/tests/engine/tiny-driver.js";
import { median, noKvm } from "./sample.mjs";
import { configIn, keepSnapshot } from "./tiny-machine.mjs";

const runs = 7;
const writtenMiB = 100;

/** From the order to stop to the order to go on, and the whole of it. */
export async function measurePause() {
  const reason = noKvm();
  if (reason !== undefined) return [{ what: "pause of a snapshot", skipped: reason }];
  const folder = mkdtempSync(join(tmpdir(), "bench-pause-"));
  try {
    return await measure(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function measure(folder) {
  const watch = new DescriptorWatch();
  const store = new SnapshotStore(new Home(join(folder, "home")));
  const config = configIn(folder, driverKernel(rewrite({ pages: writtenMiB * 256, turns: 100 })));
  const booted = bootMachine(config(), watch);
  await sleep(200);
  const id = await keepSnapshot(booted, { store, config: config() });
  await booted.kill();
  const pauses = [];
  const totals = [];
  for (let run = 0; run <= runs; run++) {
    const lease = await store.use(id);
    const { snapshot } = lease;
    const own = { ...config(), origin: { kind: "snapshot", id } };
    const machine = await restoreSnapshot(own, { watch, lease, clock: new PhaseClock() });
    await fill(machine);
    const clock = clockPauses(machine);
    const started = performance.now();
    const child = await keepSnapshot(machine, { store, config: own, parent: snapshot });
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
  const [window] = ram[0].mapping.windows();
  new Uint8Array(window.buffer, rewrittenAt, writtenMiB * 2 ** 20).fill(1);
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
