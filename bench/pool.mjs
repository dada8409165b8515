import { setTimeout as sleep } from "node:timers/promises";
import { Machine, Pool } from "supermachine";
import { image, machineOptions } from "./images.mjs";
import { median, medianMs, withEngine } from "./sample.mjs";

const runs = 10;

/** What a pool's user waits for, and what brings a machine back between two users. */
export async function measurePool({ engines }) {
  const engine = engines.find(({ name }) => name === "vmm");
  if (engine === undefined) return [{ what: "pool", skipped: "the engine 'vmm' cannot run here" }];
  return [await measureAcquire(engine), ...(await measureReset(engine))];
}

async function measureAcquire(engine) {
  const pool = new Pool({
    image: image("busybox"),
    ...machineOptions(engine.name),
    network: "none",
    min: 1,
    max: 1,
  });
  try {
    const times = [];
    for (let run = 0; run <= runs; run++) {
      // Until it is idle again: what is measured is not the reset.
      while (pool.stats().idle === 0) await sleep(20);
      const started = performance.now();
      const lease = await pool.acquire();
      await lease.machine.exec(["true"]);
      if (run > 0) times.push(performance.now() - started);
      await lease.release();
    }
    const what = withEngine("warm pool: acquire to first exec answered", engine);
    return { what, value: median(times), unit: "ms" };
  } finally {
    await pool.close();
  }
}

async function measureReset(engine) {
  const machine = await Machine.create(image("busybox"), { ...machineOptions(engine.name), network: "none" });
  try {
    await machine.exec(["true"]);
    const reset = await medianMs(runs, () => machine.reset());
    const snapshot = await medianMs(3, () => machine.snapshot());
    const fork = await medianMs(3, async () => {
      const copies = await machine.fork(4);
      for (const copy of copies) await copy.exec(["true"]);
      for (const copy of copies) await copy.kill().then(() => copy.remove());
    });
    return [
      {
        what: withEngine("reset of a used machine, until it takes commands", engine),
        value: reset,
        unit: "ms",
      },
      {
        what: withEngine("snapshot of a running machine, until it is kept", engine),
        value: snapshot,
        unit: "ms",
      },
      { what: withEngine("fork of 4, first exec in each, and their end", engine), value: fork, unit: "ms" },
    ];
  } finally {
    await machine.kill();
    await machine.remove();
  }
}
