import { Machine } from "supermachine";
import { image, machineOptions } from "./images.mjs";
import { median } from "./sample.mjs";

const boots = 5;

/** Cold boot: `Machine.create` of a cached image until the first command has been answered. */
export async function measureBoot({ engine }) {
  const totals = [];
  const phases = new Map();
  for (let run = 0; run <= boots; run++) {
    const started = performance.now();
    const machine = await Machine.create(image("busybox"), machineOptions(engine));
    await machine.exec(["true"]);
    const total = performance.now() - started;
    const { timings } = machine;
    await machine[Symbol.asyncDispose]();
    if (run === 0) continue; // Fills the caches.
    totals.push(total);
    for (const { phase, ms } of timings) phases.set(phase, [...(phases.get(phase) ?? []), ms]);
  }
  const rows = [...phases].map(([phase, values]) => ({
    what: `  of it: ${phase}`,
    value: median(values),
    unit: "ms",
  }));
  return [{ what: "cold boot to first exec answered", value: median(totals), unit: "ms" }, ...rows];
}
