import { Machine } from "supermachine";
import { image, machineOptions } from "./images.mjs";
import { median, withEngine } from "./sample.mjs";

const boots = 5;

/**
 * Cold boot: `Machine.create` of a cached image until the first command has been answered; the engines in turns, with
 * the same kernel, agent and image. QEMU's machine is its `microvm`.
 */
export async function measureBoot({ engines }) {
  const samples = new Map(engines.map((engine) => [engine.name, { totals: [], phases: new Map() }]));
  for (let run = 0; run <= boots; run++)
    for (const [name, { totals, phases }] of samples) {
      const { total, timings } = await boot(name);
      if (run === 0) continue; // Fills the caches.
      totals.push(total);
      for (const { phase, ms } of timings) phases.set(phase, [...(phases.get(phase) ?? []), ms]);
    }
  const qemu = engines.find(({ name, accelerator }) => name === "qemu" && accelerator === "kvm");
  return engines.flatMap((engine) => {
    const { totals, phases } = samples.get(engine.name);
    const value = median(totals);
    const compared =
      engine.name === "vmm" && qemu !== undefined
        ? { ratio: value / median(samples.get("qemu").totals), against: "qemu, kvm" }
        : {};
    const rows = [...phases].map(([phase, values]) => ({
      what: `  of it: ${phase}`,
      value: median(values),
      unit: "ms",
    }));
    return [
      { what: withEngine("cold boot to first exec answered", engine), value, unit: "ms", ...compared },
      ...rows,
    ];
  });
}

async function boot(engine) {
  const started = performance.now();
  const machine = await Machine.create(image("busybox"), { ...machineOptions(engine), snapshot: false });
  await machine.exec(["true"]);
  const total = performance.now() - started;
  const { timings } = await machine.info();
  await machine[Symbol.asyncDispose]();
  return { total, timings };
}
