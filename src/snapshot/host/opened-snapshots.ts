import { lstatSync } from "node:fs";
import { join } from "node:path";
import { type OpenedSnapshot, type OpenSnapshotOptions, openSnapshot } from "./open-snapshot.ts";
import { manifestName, memoryName, stateName } from "./snapshot-files.ts";

/** Each takes some hundred kilobytes. */
const maxKept = 16;

interface Kept {
  readonly snapshot: OpenedSnapshot;
  /** How its files looked before it was opened. */
  readonly looks: string;
}

/**
 * Snapshots that this process has found whole, so that machines which go on from the same one do not read and check it
 * again: those that stand alone, as every template does. One whose files have changed since is opened anew; see `sealOf` for
 * how that is told.
 */
export class OpenedSnapshots {
  /** By folder, the one used last at the end. */
  readonly #kept: Map<string, Kept> = new Map();

  /** As `openSnapshot`, and throws what that throws. */
  async open(directory: string, options: OpenSnapshotOptions): Promise<OpenedSnapshot> {
    const kept = this.#kept.get(directory);
    this.#kept.delete(directory);
    const looks = looksOf(directory);
    if (kept !== undefined && options.verify !== "full" && looks === kept.looks) {
      this.#kept.set(directory, kept);
      return kept.snapshot;
    }
    const snapshot = await openSnapshot(directory, options);
    if (snapshot.ancestors.length === 0) this.#keep(directory, { snapshot, looks });
    return snapshot;
  }

  #keep(directory: string, kept: Kept): void {
    this.#kept.set(directory, kept);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > maxKept && oldest !== undefined) this.#kept.delete(oldest);
  }
}

function looksOf(directory: string): string {
  const files = [manifestName, stateName, memoryName].map((name) => {
    const info = lstatSync(join(directory, name), { bigint: true, throwIfNoEntry: false });
    return info && `${info.dev} ${info.ino} ${info.size} ${info.mtimeNs} ${info.ctimeNs}`;
  });
  return files.join(",");
}
