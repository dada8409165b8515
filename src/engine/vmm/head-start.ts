import { availableParallelism } from "node:os";
import type { Home } from "../../storage/home.ts";
import { isKnownUsable } from "./usable-kvm.ts";
import { vcpuWorkers } from "./vcpu-workers.ts";

/**
 * Starts the threads of the one machine that this process is about to make, while the rest of it is loaded; so nothing
 * is imported here that takes its time. One processor is left to that rest.
 *
 * @param home For who does not know yet whether this engine will be used: nothing is started unless it is known to work.
 */
export function headStart(cpus: number, home?: Home): void {
  if (home !== undefined && !isKnownUsable(home)) return;
  vcpuWorkers.headStart(Math.max(1, Math.min(cpus, availableParallelism() - 1)));
}
