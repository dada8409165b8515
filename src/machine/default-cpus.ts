/** How many processors a machine has when nobody says it, on a host with so many. */
export function defaultCpus(hostCpus: number): number {
  return Math.max(1, Math.min(2, hostCpus));
}
