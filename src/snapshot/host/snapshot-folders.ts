import { join } from "node:path";
import type { Home } from "../../storage/home.ts";
import type { SnapshotId } from "../manifest.ts";

// What is where in `home.snapshots`; docs/snapshot-format.md explains it.

/** One folder per snapshot, named by its id; never changed, only added and removed whole. */
export function itemsFolder(home: Home): string {
  return join(home.snapshots, "items");
}

export function snapshotFolder(home: Home, id: SnapshotId): string {
  return join(itemsFolder(home), id);
}

/** Symbolic links from names to ids. */
export function namesFolder(home: Home): string {
  return join(home.snapshots, "names");
}

/** Symbolic links from hashes of keys to ids. */
export function keysFolder(home: Home): string {
  return join(home.snapshots, "keys");
}

/** Files that say which process uses which snapshot. */
export function leasesFolder(home: Home): string {
  return join(home.snapshots, "leases");
}

export function locksFolder(home: Home): string {
  return join(home.snapshots, "locks");
}
