import { shortSnapshotId } from "./machine-text.ts";
import { formatBytes } from "./quantities.ts";

/** What has been deleted to get space back: names, and ids of snapshots. */
export interface Pruned {
  readonly machines?: readonly string[];
  readonly snapshots: readonly string[];
  readonly images?: readonly string[];
  readonly freedBytes: number;
}

/** For people: a line for each thing, and one for the space. */
export function pruneReport({ machines = [], snapshots, images = [], freedBytes }: Pruned): string {
  const lines = [
    ...machines.map((name) => `Removed machine ${name}`),
    ...snapshots.map((id) => `Removed snapshot ${shortSnapshotId(id)}`),
    ...images.map((name) => `Removed image ${name}`),
    `Freed ${formatBytes(freedBytes)}`,
  ];
  return `${lines.join("\n")}\n`;
}
