import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";

/** The middle value. */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

/** Median duration in ms of `count` runs, after one that is thrown away. */
export async function medianMs(count, work) {
  await work();
  const times = [];
  for (let run = 0; run < count; run++) {
    const started = performance.now();
    await work();
    times.push(performance.now() - started);
  }
  return median(times);
}

/** One N: the median of `node -e 0`, start to exit, warm. */
export function measureN() {
  const times = Array.from({ length: 8 }, () => {
    const started = performance.now();
    spawnSync(process.execPath, ["-e", "0"]);
    return performance.now() - started;
  });
  return median(times.slice(1));
}

/** Why guests cannot run on this host's KVM at all, even tiny ones; undefined where they can. */
export function noKvm() {
  try {
    accessSync("/dev/kvm", constants.R_OK | constants.W_OK);
    return undefined;
  } catch {
    return "no access to /dev/kvm";
  }
}

/** Says which engine a row is about. */
export function withEngine(what, { name, accelerator }) {
  return `${what} (${name}, ${accelerator})`;
}
