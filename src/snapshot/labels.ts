import type { SnapshotManifest } from "./manifest.ts";

// Labels of our own, beside those of whoever made a snapshot.

/** What a snapshot is for; see `SnapshotKind`. */
export const KIND_LABEL = "supermachine.kind";
/** Canonical name of the image that it runs; templates have none. */
export const IMAGE_LABEL = "supermachine.image";
/** Name of the EROFS image that it has mounted. */
export const ROOTFS_LABEL = "supermachine.rootfs";

/**
 * - `template`: a guest without an image, made as needed.
 * - `snapshot`: made by hand. `warm`: of a prepared image.
 * - `fork`: for copies that are made at once; it goes with the last of them.
 */
export type SnapshotKind = "template" | "snapshot" | "warm" | "fork";

const kinds: readonly string[] = ["template", "snapshot", "warm", "fork"] satisfies SnapshotKind[];

/** One that says nothing, or something unknown, was made by hand: that kind is never removed by itself. */
export function kindOf({ labels }: SnapshotManifest): SnapshotKind {
  const kind = labels[KIND_LABEL] ?? "";
  return kinds.includes(kind) ? (kind as SnapshotKind) : "snapshot";
}

/** The labels of whoever made the snapshot. */
export function foreignLabels({ labels }: SnapshotManifest): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(labels).filter(([key]) => !key.startsWith("supermachine.")));
}
