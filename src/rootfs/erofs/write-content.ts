import type { Extent, FileNode } from "../tree.ts";
import { blocksOfRun, type ChunkPlan, chunkRuns } from "./chunk-plan.ts";
import { type DirectoryPlan, writeDirectoryBlock } from "./directory-plan.ts";
import type { ImageWriter } from "./image-writer.ts";
import type { InodeRecord } from "./inode-record.ts";
import { EROFS_BLKSIZ } from "./on-disk.ts";

/** Writes what an inode has in blocks of its own. Every piece ends at the end of a block. */
export function writeDataBlocks(record: InodeRecord, out: ImageWriter): void {
  const { node, directory, chunks } = record;
  const start = record.firstBlock * EROFS_BLKSIZ;
  out.advanceTo(start);
  if (directory !== undefined) writeDirectoryBlocks(record, { directory, out });
  else if (chunks !== undefined && node.type === "file") writeChunks(node, { chunks, start, out });
  else writeContent(record, out);
}

/** Writes the bytes of a file or a link's target from the current position on; nothing at a hole at its end. */
export function writeContent({ node }: InodeRecord, out: ImageWriter): void {
  if (node.type === "symlink") out.setBytes(out.claim(node.target.length), node.target);
  if (node.type !== "file") return;
  const start = out.position;
  for (const { offset, length, source, position } of node.extents) {
    out.advanceTo(start + offset);
    out.copy(source, position, length);
  }
  out.advanceTo(start + node.size);
}

function writeDirectoryBlocks(
  record: InodeRecord,
  { directory, out }: { directory: DirectoryPlan; out: ImageWriter },
): void {
  const blocks = directory.blockStarts.length - (record.inlineLength > 0 ? 2 : 1);
  for (let block = 0; block < blocks; block++) {
    out.advanceTo((record.firstBlock + block) * EROFS_BLKSIZ);
    writeDirectoryBlock(directory, block, out);
  }
}

interface ChunkOutput {
  readonly chunks: ChunkPlan;
  /** Where the first chunk lies in the image. */
  readonly start: number;
  readonly out: ImageWriter;
}

/** Copies each run of chunks to where the map says; extents never end in a chunk that is a hole. */
function writeChunks(node: FileNode, { chunks: { chunkBits }, start, out }: ChunkOutput): void {
  let runStart = start;
  let next = 0;
  for (const run of chunkRuns(node.extents, chunkBits)) {
    const from = run.first * 2 ** chunkBits;
    const until = run.end * 2 ** chunkBits;
    for (; next < node.extents.length; next++) {
      const extent = node.extents[next];
      if (extent === undefined || extent.offset >= until) break;
      copyExtent(extent, { at: runStart + extent.offset - from, out });
    }
    runStart += blocksOfRun(run, { size: node.size, chunkBits }) * EROFS_BLKSIZ;
  }
}

function copyExtent(
  { source, position, length }: Extent,
  { at, out }: { at: number; out: ImageWriter },
): void {
  if (length === 0) return;
  out.advanceTo(at);
  out.copy(source, position, length);
}
