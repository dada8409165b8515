import { closeSync, fstatSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Home } from "../../storage/home.ts";
import { maxManifestLength, parseManifest, type SnapshotId, type SnapshotManifest } from "../manifest.ts";
import { type MemoryLayer, type MemoryRun, memoryRuns } from "../memory-runs.ts";
import { type PageMap, pageLength, pageMapCodec } from "../page-map.ts";
import { invalidSnapshot } from "../snapshot-error.ts";
import { loadComponent, type SavedComponent } from "../state-codec.ts";
import { maxStateFileLength, parseStateFile } from "../state-file.ts";
import { hashMemory } from "./hash-memory.ts";
import { isSealed, sealOf, writeSeal } from "./seal.ts";
import { manifestName, memoryPath, openPlain, readWhole, sha256, stateName } from "./snapshot-files.ts";

export interface OpenSnapshotOptions {
  readonly home: Home;
  /**
   * "sealed" reads the memory only when something may have written to it since it was last found whole; "full" reads
   * it in any case, which also finds what a failing disk did. Default "sealed".
   */
  readonly verify?: "sealed" | "full";
}

/** A snapshot that has been found whole. */
export interface OpenedSnapshot {
  readonly id: SnapshotId;
  /** Its folder. */
  readonly directory: string;
  readonly manifest: SnapshotManifest;
  /** What the machine's parts saved. */
  readonly components: readonly SavedComponent[];
  /** Which pages its own memory file speaks about. */
  readonly pages: PageMap;
  /** The snapshots that its memory is based on, oldest first. */
  readonly ancestors: readonly OpenedSnapshot[];
  /** Where each byte of the memory lies. The files must not be written to. */
  readonly memory: readonly MemoryRun[];
}

/** A longer chain would make for many mappings. */
export const maxAncestors = 8;

/** Whether the chain allows another snapshot to be based on this one. */
export function canBeBasedOn({ ancestors }: OpenedSnapshot): boolean {
  return ancestors.length < maxAncestors;
}

/**
 * Opens the snapshot in a folder that is named by its id; its ancestors are looked for beside it.
 *
 * @throws SupermachineError `SNAPSHOT_INVALID`, `SNAPSHOT_MISMATCH` for other format versions, `PERMISSION_DENIED`.
 * @example
 * ```ts
 * const { manifest, components, memory } = await openSnapshot(folder, { home: new Home() });
 * ```
 */
export async function openSnapshot(directory: string, options: OpenSnapshotOptions): Promise<OpenedSnapshot> {
  const ancestors: OpenedSnapshot[] = [];
  const read = readParts(directory);
  let parent = read.manifest.parent;
  while (parent !== undefined) {
    if (ancestors.length === maxAncestors) throw invalidSnapshot("it is based on too many others");
    const ancestor = readParts(join(dirname(directory), parent));
    if (ancestor.manifest.memory.length !== read.manifest.memory.length)
      throw invalidSnapshot("it is based on a snapshot with another memory size");
    parent = ancestor.manifest.parent;
    ancestors.unshift({ ...ancestor, ancestors: [], memory: [] });
  }
  const complete = ancestors.map((ancestor, index) => withMemory(ancestor, ancestors.slice(0, index)));
  for (const part of [...complete, read]) await verifyMemory(part, options);
  return withMemory(read, complete);
}

type Parts = Omit<OpenedSnapshot, "ancestors" | "memory">;

function withMemory(parts: Parts, ancestors: readonly OpenedSnapshot[]): OpenedSnapshot {
  const layers = [...ancestors, parts].map(layerOf);
  return { ...parts, ancestors, memory: memoryRuns(layers) };
}

function layerOf({ directory, pages }: Parts): MemoryLayer {
  return { file: memoryPath(directory), pages };
}

/** Manifest and state of one snapshot, verified. */
function readParts(directory: string): Parts {
  const id = basename(directory);
  const bytes = readWhole(directory, manifestName, maxManifestLength);
  const manifest = parseManifest(bytes);
  if (sha256(bytes) !== id) throw invalidSnapshot("its manifest was altered");
  const state = readWhole(directory, stateName, maxStateFileLength);
  if (state.length !== manifest.state.length) throw invalidSnapshot(`its ${stateName} has another length`);
  if (sha256(state) !== manifest.state.digest) throw invalidSnapshot(`its ${stateName} was altered`);
  const all = parseStateFile(state);
  const map = all.find((component) => component.id === pageMapCodec.id);
  if (map === undefined) throw invalidSnapshot("it has no page map");
  const pages = loadComponent(pageMapCodec, map);
  if (pages.pages !== manifest.memory.length / pageLength || pages.count !== manifest.memory.pages)
    throw invalidSnapshot("its page map is of another memory");
  return { id, directory, manifest, components: all.filter((component) => component !== map), pages };
}

async function verifyMemory(parts: Parts, { home, verify = "sealed" }: OpenSnapshotOptions): Promise<void> {
  const { directory, manifest, pages } = parts;
  const path = memoryPath(directory);
  const fd = openPlain(path);
  try {
    if (fstatSync(fd).size !== manifest.memory.length)
      throw invalidSnapshot(`its memory file has not ${manifest.memory.length} bytes`);
    const sealed = isSealed(directory, fd);
    if (sealed && verify === "sealed") return;
    // Taken before reading: what is written meanwhile breaks it.
    const seal = sealOf(fd);
    const digest = await hashMemory(path, { pages, checkHoles: manifest.parent === undefined });
    if (digest !== manifest.memory.digest) throw invalidSnapshot("its memory was altered");
    // A folder that cannot be written to is verified in full each time.
    if (!sealed) await writeSeal(home, directory, seal).catch(() => undefined);
  } finally {
    closeSync(fd);
  }
}
