import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Image, Machine } from "supermachine";
import { image, machineOptions } from "./images.mjs";
import { median, medianMs, withEngine } from "./sample.mjs";

const runs = 7;
const together = 4;
const checkout = join(import.meta.dirname, "..");

/**
 * Starts that boot nothing: from the template, by the API in a process that runs already, and by the command line as a
 * whole process, installed as a package is.
 */
export async function measureStart({ engines }) {
  const engine = engines.find(({ name }) => name === "vmm");
  if (engine === undefined)
    return [{ what: "start from the template", skipped: "the engine 'vmm' cannot run here" }];
  return [...(await measureApi(engine)), await measureTogether(engine), await measureCommandLine(engine)];
}

async function measureApi(engine) {
  const { reference } = await Image.pull(image("busybox"));
  const totals = [];
  const phases = new Map();
  for (let run = 0; run <= runs; run++) {
    const started = performance.now();
    const machine = await Machine.create(reference, { ...machineOptions(engine.name), network: "none" });
    await machine.exec(["true"]);
    const total = performance.now() - started;
    const { timings } = await machine.info();
    await end(machine);
    if (run === 0) continue; // Makes the template, and the first threads.
    totals.push(total);
    for (const { phase, ms, parts = [] } of timings) {
      collect(phases, phase, ms);
      for (const part of parts) collect(phases, `  ${part.name}`, part.ms);
    }
  }
  const rows = [...phases].map(([phase, values]) => ({
    what: `  of it: ${phase}`,
    value: median(values),
    unit: "ms",
  }));
  const what = withEngine("API: template, image, first exec answered", engine);
  return [{ what, value: median(totals), unit: "ms" }, ...rows];
}

async function measureTogether(engine) {
  const { reference } = await Image.pull(image("busybox"));
  const options = { ...machineOptions(engine.name), network: "none" };
  const times = [];
  for (let run = 0; run < 4; run++) {
    const started = performance.now();
    const machines = await Promise.all(
      Array.from({ length: together }, async () => {
        const machine = await Machine.create(reference, options);
        await machine.exec(["true"]);
        return machine;
      }),
    );
    times.push(performance.now() - started);
    await Promise.all(machines.map(end));
  }
  const what = withEngine(`${together} machines at once, first exec answered by each`, engine);
  // The first is the one that starts the threads.
  return { what, value: median(times.slice(1)), unit: "ms" };
}

async function measureCommandLine(engine) {
  const folder = mkdtempSync(join(tmpdir(), "installed-"));
  try {
    const command = install(folder);
    const { reference } = await Image.pull(image("busybox"));
    const args = [
      "run",
      "--engine",
      engine.name,
      "--cpus",
      "1",
      "-m",
      "256m",
      "--network",
      "none",
      reference,
      "true",
    ];
    const value = await medianMs(runs, async () => {
      const { status, stderr } = spawnSync(command, args, { encoding: "utf8" });
      if (status !== 0) throw new Error(`supermachine run failed: ${stderr}`);
    });
    return { what: withEngine("command line: run IMAGE true, whole process", engine), value, unit: "ms" };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The files of the package, on this machine's own disk: a checkout may be a shared folder. */
function install(folder) {
  for (const name of ["bin", "package.json", "dist/bundle", "guest"])
    if (existsSync(join(checkout, name)))
      cpSync(join(checkout, name), join(folder, name), { recursive: true, preserveTimestamps: true });
  mkdirSync(join(folder, "node_modules"));
  for (const name of ["koffi", "@koromix"]) {
    const from = join(checkout, "node_modules", name);
    if (existsSync(from)) cpSync(from, join(folder, "node_modules", name), { recursive: true });
  }
  symlinkSync(join(folder, "bin", "supermachine"), join(folder, "supermachine"));
  return join(folder, "supermachine");
}

function collect(map, key, value) {
  map.set(key, [...(map.get(key) ?? []), value]);
}

async function end(machine) {
  await machine.kill();
  await machine.remove();
}
