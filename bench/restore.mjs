// The host's side alone, with a guest of a few bytes: it runs on any KVM, an emulated one included.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { PhaseClock } from "../dist/src/engine/phase-clock.js";
import { bootMachine } from "../dist/src/engine/vmm/boot-machine.js";
import { restoreSnapshot } from "../dist/src/engine/vmm/restore-snapshot.js";
import { spareShells } from "../dist/src/engine/vmm/spare-shells.js";
import { SnapshotStore } from "../dist/src/snapshot/host/snapshot-store.js";
import { Home } from "../dist/src/storage/home.js";
import { DescriptorWatch } from "../dist/src/sys/linux/descriptor-watch.js";
import { tinyKernels } from "../dist/tests/engine/tiny-kernel.js";
import { median, noKvm } from "./sample.mjs";
import { configIn, keepSnapshot } from "./tiny-machine.mjs";

const runs = 15;
const touchedMiB = 1;

/** From a snapshot on disk to a vCPU that enters its guest; and back again after use. */
export async function measureRestore() {
  const reason = noKvm();
  if (reason !== undefined) return [{ what: "host side of a restore", skipped: reason }];
  const folder = mkdtempSync(join(tmpdir(), "bench-restore-"));
  try {
    return await measure(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function measure(folder) {
  const watch = new DescriptorWatch();
  const store = new SnapshotStore(new Home(join(folder, "home")));
  const config = configIn(folder, tinyKernels.idle);
  const booted = bootMachine(config(), watch);
  await sleep(200);
  const id = await keepSnapshot(booted, { store, config: config() });
  await booted.kill();
  const restores = [];
  const phases = new Map();
  const resets = [];
  for (let run = 0; run <= runs; run++) {
    const clock = new PhaseClock();
    const started = performance.now();
    const lease = await store.use(id);
    clock.mark("open snapshot");
    const own = { ...config(), origin: { kind: "snapshot", id } };
    const machine = await restoreSnapshot(own, { watch, lease, clock });
    const took = performance.now() - started;
    // As the engine does; then its thread is ready, and what the next machine takes.
    spareShells.expectMore(config());
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
  const [window] = ram[0].mapping.windows();
  new Uint8Array(window.buffer, 64 * 2 ** 20, touchedMiB * 2 ** 20).fill(1);
  machine.resume();
  // Until it runs again: what is measured is not its resumption.
  await sleep(20);
  const started = performance.now();
  await machine.reset();
  return performance.now() - started;
}
