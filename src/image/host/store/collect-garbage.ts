import { mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { createTemporary, sweepTemporary } from "../../../storage/temporary.ts";
import { digestParts } from "../../digest.ts";
import type { Digest } from "../../image.ts";
import type { ContentStore } from "./content-store.ts";
import type { ImageIndex } from "./image-index.ts";
import { leasedDigests } from "./lease.ts";
import { listPartials } from "./partial-blob.ts";

/** What was freed. */
export interface Freed {
  readonly blobs: number;
  readonly rootfs: number;
  readonly bytes: number;
}

/**
 * Removes the blobs that neither an image nor a pull under way needs (see `Lease` for why that is safe), the root
 * file systems that are not in `rootfsKeys`, and what dead processes left.
 */
export async function collectGarbage(options: {
  readonly store: ContentStore;
  readonly index: ImageIndex;
  readonly rootfsKeys: (() => Promise<ReadonlySet<string>>) | undefined;
  /** Leave interrupted downloads to be resumed. */
  readonly keepPartials: boolean;
}): Promise<Freed> {
  const { store, rootfsKeys } = options;
  await sweepTemporary(store.home);
  const blobs = await collectBlobs(options);
  const partials = options.keepPartials ? nothing : await collectPartials(store);
  const rootfs = rootfsKeys === undefined ? nothing : await collectRootfs(store, rootfsKeys);
  return {
    blobs: blobs.count + partials.count,
    rootfs: rootfs.count,
    bytes: blobs.bytes + partials.bytes + rootfs.bytes,
  };
}

interface Tally {
  readonly count: number;
  readonly bytes: number;
}

const nothing: Tally = { count: 0, bytes: 0 };

async function collectBlobs(options: { store: ContentStore; index: ImageIndex }): Promise<Tally> {
  const { store } = options;
  const before = await neededBlobs(options);
  const candidates = (await store.list()).filter((digest) => !before.has(digest));
  if (candidates.length === 0) return nothing;
  using aside = createTemporary(store.home, "garbage");
  await mkdir(aside.path, { mode: 0o700 });
  const moved: { digest: Digest; path: string }[] = [];
  for (const digest of candidates) {
    const path = join(aside.path, digestParts(digest).hex);
    // Another collector may have been quicker.
    if (await succeeds(rename(store.path(digest), path))) moved.push({ digest, path });
  }
  const after = await neededBlobs(options);
  let tally = nothing;
  for (const { digest, path } of moved)
    if (after.has(digest)) await succeeds(rename(path, store.path(digest)));
    else tally = { count: tally.count + 1, bytes: tally.bytes + (await sizeOf(path)) };
  return tally;
}

/** Leases first: one that is gone when the images are listed has become an image by then. */
async function neededBlobs(options: { store: ContentStore; index: ImageIndex }): Promise<Set<Digest>> {
  const needed = await leasedDigests(options.store.home);
  for (const record of options.index.list()) for (const digest of record.blobs) needed.add(digest);
  return needed;
}

/** Pieces of interrupted downloads. They are cheap to fetch again, and nobody is writing them. */
async function collectPartials(store: ContentStore): Promise<Tally> {
  let tally = nothing;
  for (const partial of await listPartials(store.home)) {
    if (partial.active) continue;
    await rm(partial.path, { force: true });
    tally = { count: tally.count + 1, bytes: tally.bytes + partial.size };
  }
  return tally;
}

async function collectRootfs(
  store: ContentStore,
  rootfsKeys: () => Promise<ReadonlySet<string>>,
): Promise<Tally> {
  const folder = store.home.rootfs;
  let tally = nothing;
  // In this order: what is made for an image that comes in between is not in the list.
  const names = await readdir(folder).catch(() => []);
  const keys = await rootfsKeys();
  for (const name of names) {
    if (!name.endsWith(".erofs") || keys.has(name.slice(0, -".erofs".length))) continue;
    const path = join(folder, name);
    const bytes = await sizeOf(path);
    if (await succeeds(rm(path))) tally = { count: tally.count + 1, bytes: tally.bytes + bytes };
  }
  return tally;
}

async function sizeOf(path: string): Promise<number> {
  const info = await stat(path).catch(() => undefined);
  return info === undefined ? 0 : info.blocks * 512;
}

function succeeds(work: Promise<unknown>): Promise<boolean> {
  return work.then(
    () => true,
    () => false,
  );
}
