import type { SnapshotManifest } from "../manifest.ts";

const digest = "ab".repeat(32);

/** A manifest that is valid, with some of its fields replaced. */
export function sampleManifest(changes: Partial<SnapshotManifest> = {}): SnapshotManifest {
  return {
    format: 1,
    createdAt: 1_790_000_000_000,
    madeBy: { version: "1.2.3", engine: "vmm", hypervisor: "kvm" },
    machine: { architecture: "x64", cpus: 2, memoryMiB: 4, slots: ["console", "vsock", ""] },
    cpu: { vendor: "GenuineIntel", features: { "1.ecx": 0x1200_0000, "7.0.ebx": 0x20 }, digest },
    kernel: { release: "6.1.0-25-cloud-amd64", digest },
    agent: { digest },
    memory: { length: 4 * 2 ** 20, pages: 7, digest },
    state: { length: 100, digest },
    labels: { purpose: "test" },
    ...changes,
  };
}
