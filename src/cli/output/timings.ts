import type { MachineInfo, PhaseTiming } from "../../machine/types.ts";
import { formatDuration } from "./quantities.ts";

/** The lines of `--timings`: which engine carried the machine, and how long each step of its start took. */
export function formatTimings(
  timings: readonly PhaseTiming[],
  info: Pick<MachineInfo, "engine" | "accelerator">,
): string {
  const rows = [...timings.map(({ phase, ms }) => [phase, ms] as const), ["total", total(timings)] as const];
  const width = Math.max(...rows.map(([phase]) => phase.length));
  const engine = info.accelerator === undefined ? info.engine : `${info.engine} (${info.accelerator})`;
  return [
    `engine: ${engine}`,
    "timings:",
    ...rows.map(([phase, ms]) => `  ${phase.padEnd(width)}  ${formatDuration(ms).padStart(8)}`),
  ].join("\n");
}

function total(timings: readonly PhaseTiming[]): number {
  return timings.reduce((sum, { ms }) => sum + ms, 0);
}
