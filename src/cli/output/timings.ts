import type { MachineInfo, PhaseTiming } from "../../machine/types.ts";
import { formatDuration } from "./quantities.ts";

/**
 * The lines of `--timings`: which engine carried the machine, how long each step took, and all of it as seen from
 * outside. Some steps run side by side, so that the parts may be more than the whole.
 */
export function formatTimings(
  timings: readonly PhaseTiming[],
  about: { info: Pick<MachineInfo, "engine" | "accelerator" | "exits">; totalMs: number },
): string {
  const { info, totalMs } = about;
  const rows = [
    ...timings.flatMap(({ phase, ms, parts = [] }) => [
      [phase, ms] as const,
      ...parts.map((part) => [`  ${part.name}`, part.ms] as const),
    ]),
    ["total", totalMs] as const,
  ];
  const width = Math.max(...rows.map(([phase]) => phase.length));
  const engine = info.accelerator === undefined ? info.engine : `${info.engine} (${info.accelerator})`;
  return [
    `engine: ${engine}`,
    "timings:",
    ...rows.map(([phase, ms]) => `  ${phase.padEnd(width)}  ${formatDuration(ms).padStart(8)}`),
    ...exitLines(info.exits ?? {}),
  ].join("\n");
}

function exitLines(exits: Readonly<Record<string, number>>): string[] {
  const counts = Object.entries(exits).map(([kind, count]) => `${kind} ${count}`);
  return counts.length === 0 ? [] : [`exits: ${counts.join(", ")}`];
}
