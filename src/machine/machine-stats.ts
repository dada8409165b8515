import { readFile } from "node:fs/promises";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { notRunning } from "./machine-end.ts";
import type { MachineInfo, MachineStats } from "./types.ts";

/** proc(5) counts processor time in units of USER_HZ, which is 100 on every architecture of Linux that we run on. */
const msPerTick = 10;
/** The name of a snapshot's memory, which a guest's memory is a private mapping of. */
const guestMapping = /\/memory\.img( \(deleted\))?$/;

/** `Machine.stats`: of the monitor's process, and of the guest's where that is another one. */
export async function readStats(info: MachineInfo, exits: MachineInfo["exits"]): Promise<MachineStats> {
  if (process.platform !== "linux")
    throw new SupermachineError("UNSUPPORTED", "What a machine takes of its host is only known on Linux");
  if (info.state === "stopped" || info.state === "crashed") throw notRunning(info);
  const pids = info.enginePid === undefined ? [info.pid] : [info.pid, info.enginePid];
  const parts = await Promise.all(pids.map(usageOf)).catch((cause: unknown) => {
    throw gone(info, cause);
  });
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const guestMemoryBytes = sum(parts.map((part) => part.guestBytes));
  return {
    cpuMs: sum(parts.map((part) => part.cpuMs)),
    memoryBytes: sum(parts.map((part) => part.bytes)),
    ...(guestMemoryBytes === 0 ? {} : { guestMemoryBytes }),
    memoryMiB: info.memoryMiB,
    ...(exits === undefined ? {} : { exits: sum(Object.values(exits)) }),
  };
}

interface Usage {
  readonly cpuMs: number;
  readonly bytes: number;
  readonly guestBytes: number;
}

async function usageOf(pid: number): Promise<Usage> {
  const [stat, maps] = await Promise.all([
    readFile(`/proc/${pid}/stat`, "latin1"),
    readFile(`/proc/${pid}/smaps`, "latin1"),
  ]);
  return { cpuMs: cpuMsOf(stat), ...memoryOf(maps) };
}

/** Fields 14 and 15 of proc(5)'s stat: time in user and kernel mode. A guest's time is part of the former. */
function cpuMsOf(stat: string): number {
  // The name in field 2 may itself contain spaces and parentheses; the last one closes it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * msPerTick;
}

/**
 * The proportional set size of all mappings, and of those that are a guest's memory. Their sum in `smaps_rollup` would
 * be cheaper, but does not tell them apart.
 */
export function memoryOf(smaps: string): { readonly bytes: number; readonly guestBytes: number } {
  let bytes = 0;
  let guestBytes = 0;
  let isGuest = false;
  for (const line of smaps.split("\n")) {
    const size = /^Pss: +([0-9]+) kB$/.exec(line)?.[1];
    if (size !== undefined) {
      bytes += Number(size) * 1024;
      if (isGuest) guestBytes += Number(size) * 1024;
    } else if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) isGuest = guestMapping.test(line);
  }
  return { bytes, guestBytes };
}

function gone(info: MachineInfo, cause: unknown): SupermachineError {
  const denied = cause instanceof Error && "code" in cause && cause.code === "EACCES";
  if (denied)
    return new SupermachineError(
      "PERMISSION_DENIED",
      `The process of machine '${info.name}' cannot be read`,
      {
        cause,
      },
    );
  return new SupermachineError("MACHINE_NOT_RUNNING", `The machine '${info.name}' has just ended`, { cause });
}
