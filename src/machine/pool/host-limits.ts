import { availableParallelism, totalmem } from "node:os";
import { AdmissionGate } from "./admission-gate.ts";

/** Leaves room for the host's own work and for what a machine costs beyond its guest's memory. */
const memoryShare = 0.8;

/** Every pool of the process starts its machines through one gate: the host's limits are shared as well. */
let starts: AdmissionGate | undefined;
/** The copies of every machine of the process. */
let forks: AdmissionGate | undefined;
/** The memory of the machines of every pool of the process. */
let memory: AdmissionGate | undefined;

/**
 * The gate on simultaneous starts: the greater of 16 and 4 per core. Beyond that, starts do not get faster, and hosts
 * begin to refuse threads and processes.
 */
export function sharedStartGate(): AdmissionGate {
  starts ??= new AdmissionGate(Math.max(16, 4 * availableParallelism()));
  return starts;
}

/**
 * The gate on copies that start at once: 2 per core. A copy is work for a processor from its first moment to its last: more at
 * once would be no faster together, and each so much later that it may be taken for one that hangs.
 */
export function sharedForkGate(): AdmissionGate {
  forks ??= new AdmissionGate(2 * availableParallelism());
  return forks;
}

/** The bound on guest memory, in MiB: a share of what the host has, or of what the process' cgroup may use. */
export function sharedMemoryGate(): AdmissionGate {
  memory ??= new AdmissionGate(memoryBoundMiB(totalmem(), process.constrainedMemory()));
  return memory;
}

/** @param constrained What the system lets the process have, in bytes; 0 or absurdly much where there is no bound. */
export function memoryBoundMiB(total: number, constrained: number | undefined): number {
  const usable = constrained !== undefined && constrained > 0 ? Math.min(total, constrained) : total;
  return Math.floor((usable * memoryShare) / 2 ** 20);
}
