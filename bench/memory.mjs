import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Machine } from "supermachine";
import { image, machineOptions } from "./images.mjs";
import { withEngine } from "./sample.mjs";

const settleMs = 3000;

/**
 * One idle machine: its share of all its processes' memory (PSS), and how much of that is not the guest's own. Then several
 * in one process: what each further one adds, what they share, and what comes back to the host.
 */
export async function measureMemory({ engines }) {
  if (process.platform !== "linux") return [{ what: "memory", skipped: "needs /proc/PID/smaps" }];
  const rows = [];
  for (const engine of engines) rows.push(...(await measureOne(engine)));
  const own = engines.find(({ name }) => name === "vmm");
  return own === undefined ? rows : [...rows, ...measureTogether(own)];
}

/** In a process that has done nothing else. */
function measureTogether(engine) {
  const program = join(import.meta.dirname, "memory-together.mjs");
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, engine.name], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`${program} failed: ${stderr}`);
  return JSON.parse(stdout).map((row) => ({ ...row, what: withEngine(row.what, engine) }));
}

async function measureOne(engine) {
  const options = machineOptions(engine.name);
  // In a process of its own, so that nothing of this one is counted.
  const machine = await Machine.create(image("busybox"), { ...options, detached: true });
  try {
    await machine.exec(["true"]);
    await sleep(settleMs);
    const { pid, enginePid } = await machine.info();
    const pids = [pid, enginePid].filter((each) => each !== undefined);
    const total = pids.reduce((sum, each) => sum + totalPssKiB(each), 0);
    const guest = guestPssKiB(enginePid ?? pid, options.memory * 1024);
    return [
      {
        what: withEngine("idle machine, PSS of all its processes", engine),
        value: total / 1024,
        unit: "MiB",
      },
      {
        what: withEngine("  of it: not the guest's memory", engine),
        value: (total - guest) / 1024,
        unit: "MiB",
      },
    ];
  } finally {
    await machine.kill();
    await machine.remove?.();
  }
}

function totalPssKiB(pid) {
  return pssKiB(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"));
}

/** The guest's memory is the only mapping that is as large. */
function guestPssKiB(pid, memoryKiB) {
  const mappings = readFileSync(`/proc/${pid}/smaps`, "utf8").split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  const ofGuest = mappings.filter((text) => {
    const size = Number(/^Size: +([0-9]+) kB/m.exec(text)?.[1]);
    return size >= memoryKiB && size < memoryKiB * 1.1 && /^[0-9a-f-]+ rw/.test(text);
  });
  if (ofGuest.length !== 1) throw new Error(`${ofGuest.length} mappings look like the guest's memory`);
  return pssKiB(ofGuest[0]);
}

function pssKiB(text) {
  return Number(/^Pss: +([0-9]+) kB/m.exec(text)?.[1]);
}
