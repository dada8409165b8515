import type { Extent, FileNode } from "../tree.ts";
import { EROFS_BLKSIZ, EROFS_BLKSIZ_BITS, EROFS_BLOCK_MAP_ENTRY_SIZE } from "./on-disk.ts";

/**
 * Files with holes are stored as chunks of equal size, of which those without any data take no space
 * (erofs.rst, "Chunk-based files"). The map costs 4 bytes a chunk whether it is a hole or not, so a file of 1 TiB
 * with one block of data wants chunks of some MiB, and one with many small holes wants small ones.
 */
export interface ChunkPlan {
  /** log2 of the chunk size. */
  readonly chunkBits: number;
  readonly chunkCount: number;
  /** Blocks of the chunks that hold data. */
  readonly blocks: number;
}

/** Chunks pay when they keep at least this much out of the image; less is not worth a map to look up. */
const leastSaving = 64 << 10;
/** The format has 5 bits for log2(chunk size / block size). */
const maxChunkBits = EROFS_BLKSIZ_BITS + 31;

/** The cheapest chunk size for a file, or undefined when storing it whole is no worse. */
export function planChunks({ size, extents }: FileNode): ChunkPlan | undefined {
  let stored = 0;
  for (const extent of extents) stored += extent.length;
  if (size - stored < leastSaving) return undefined;
  let best: ChunkPlan | undefined;
  let bestCost = Math.ceil(size / EROFS_BLKSIZ) * EROFS_BLKSIZ - leastSaving;
  for (let chunkBits = EROFS_BLKSIZ_BITS; chunkBits <= maxChunkBits; chunkBits++) {
    const chunkCount = Math.ceil(size / 2 ** chunkBits);
    const blocks = blocksWithData({ size, extents, chunkBits });
    const cost = chunkCount * EROFS_BLOCK_MAP_ENTRY_SIZE + blocks * EROFS_BLKSIZ;
    // The larger chunk where the cost is equal: the kernel looks up fewer.
    if (cost <= bestCost) {
      bestCost = cost;
      best = { chunkBits, chunkCount, blocks };
    }
    if (chunkCount === 1) break;
  }
  return best;
}

/** A run of neighbouring chunks of which each holds data. */
export interface ChunkRun {
  readonly first: number;
  /** One past the last. */
  readonly end: number;
}

/** The chunks that hold data, ascending. */
export function* chunkRuns(extents: readonly Extent[], chunkBits: number): Generator<ChunkRun> {
  const chunkSize = 2 ** chunkBits;
  let first = 0;
  let end = 0;
  for (const { offset, length } of extents) {
    if (length === 0) continue;
    const start = Math.floor(offset / chunkSize);
    if (start > end) {
      if (end > first) yield { first, end };
      first = start;
    }
    end = Math.ceil((offset + length) / chunkSize);
  }
  if (end > first) yield { first, end };
}

/** Blocks that a run of chunks takes: the file's last chunk ends with the file's last block. */
export function blocksOfRun(
  { first, end }: ChunkRun,
  { size, chunkBits }: { size: number; chunkBits: number },
): number {
  const chunkBlocks = 2 ** (chunkBits - EROFS_BLKSIZ_BITS);
  return Math.min(end * chunkBlocks, Math.ceil(size / EROFS_BLKSIZ)) - first * chunkBlocks;
}

function blocksWithData(file: { size: number; extents: readonly Extent[]; chunkBits: number }): number {
  let blocks = 0;
  for (const run of chunkRuns(file.extents, file.chunkBits)) blocks += blocksOfRun(run, file);
  return blocks;
}
