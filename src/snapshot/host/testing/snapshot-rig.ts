import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Home } from "../../../storage/home.ts";
import type { MemoryRun } from "../../memory-runs.ts";

import { sampleManifest } from "../../testing/sample-manifest.ts";
import type { MemoryContent } from "../memory-content.ts";
import { SnapshotStore } from "../snapshot-store.ts";
import type { CaptureOptions, SnapshotDescription } from "../snapshot-writer.ts";

/** A store in a temporary home, which goes when the test ends. */
export function temporaryStore(t: { after(done: () => void): void }): SnapshotStore {
  const root = mkdtempSync(join(tmpdir(), "snapshot-test-"));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  return new SnapshotStore(new Home(root));
}

/** What a snapshot of a machine with this memory may say. */
export function describeSnapshot(memory: MemoryContent, label = "test"): SnapshotDescription {
  const { madeBy, machine, cpu, kernel, agent } = sampleManifest();
  return {
    madeBy,
    machine: { ...machine, memoryMiB: memory.length / 2 ** 20 },
    cpu,
    kernel,
    agent,
    labels: { label },
    components: [
      { id: "vm", version: 1, bytes: Uint8Array.of(1, 2, 3) },
      { id: "vcpu/0", version: 2, bytes: new Uint8Array(100).fill(7) },
    ],
  };
}

/** Writes a snapshot and returns its id. */
export async function makeSnapshot(
  store: SnapshotStore,
  memory: MemoryContent,
  options: CaptureOptions & { readonly label?: string } = {},
): Promise<string> {
  await using writer = await store.create();
  await writer.captureMemory(memory, options);
  return await writer.finish(describeSnapshot(memory, options.label));
}

/** The memory that runs describe, as a machine would see it. */
export function readRuns(runs: readonly MemoryRun[]): Uint8Array {
  const files = new Map([...new Set(runs.map(({ file }) => file))].map((file) => [file, readFileSync(file)]));
  return Buffer.concat(
    runs.map(({ file, offset, length }) =>
      (files.get(file) ?? Buffer.alloc(0)).subarray(offset, offset + length),
    ),
  );
}
