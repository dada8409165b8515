import type { VcpuExit } from "../../hypervisor/vcpu-exit.ts";

/** How often vCPUs left the guest, by kind. */
export type ExitCounts = Readonly<Record<string, number>>;

/** In the order of their words. */
const kinds: readonly VcpuExit["kind"][] = [
  "mmio-read",
  "mmio-write",
  "pio-in",
  "pio-out",
  "halt",
  "interrupted",
  "shutdown",
  "reset",
  "triple-fault",
  "failed",
];

/** Bytes of shared memory that one vCPU's counts take. */
export const exitCountsLength: number = kinds.length * 4;

/** Counts one exit; only the vCPU's own thread writes. */
export function countExit(words: Int32Array, kind: VcpuExit["kind"]): void {
  const word = kinds.indexOf(kind);
  words[word] = (words[word] ?? 0) + 1;
}

/** The sum over vCPUs, without the kinds that did not occur. May be a little behind while they run. */
export function sumExits(counts: readonly SharedArrayBuffer[]): ExitCounts {
  const sum: Record<string, number> = {};
  for (const buffer of counts) {
    const words = new Int32Array(buffer);
    for (const [word, kind] of kinds.entries())
      if ((words[word] ?? 0) > 0) sum[kind] = (sum[kind] ?? 0) + ((words[word] ?? 0) >>> 0);
  }
  return sum;
}
