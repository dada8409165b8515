import type { Home } from "../../storage/home.ts";
import { isKnownUsable } from "./usable-kvm.ts";
import { vcpuWorkers } from "./vcpu-workers.ts";

/**
 * Starts the threads of a machine that this process is about to make, where it is known that this engine can be used. They
 * start while the rest of this process is loaded, so nothing is imported here that takes its time.
 */
export function headStart(cpus: number, home: Home): void {
  if (isKnownUsable(home)) vcpuWorkers.headStart(cpus);
}
