import type { Extent } from "../../tree.ts";
import {
  EROFS_BLKSIZ,
  EROFS_BLKSIZ_BITS,
  EROFS_BLOCK_MAP_ENTRY_SIZE,
  EROFS_CHUNK_FORMAT_BLKBITS_MASK,
  EROFS_CHUNK_FORMAT_INDEXES,
  EROFS_CHUNK_INDEX_SIZE,
  EROFS_NULL_ADDR,
} from "../on-disk.ts";
import { type ErofsImage, readBytes } from "./read-erofs.ts";

/** The parts of a chunk-based file that are no holes; neighbours in the image are one extent. */
export function readChunkExtents(
  { source }: ErofsImage,
  { format, mapStart, size }: { format: number; mapStart: number; size: number },
): Extent[] {
  const indexed = (format & EROFS_CHUNK_FORMAT_INDEXES) !== 0;
  const entrySize = indexed ? EROFS_CHUNK_INDEX_SIZE : EROFS_BLOCK_MAP_ENTRY_SIZE;
  const chunkSize = 2 ** (EROFS_BLKSIZ_BITS + (format & EROFS_CHUNK_FORMAT_BLKBITS_MASK));
  const count = Math.ceil(size / chunkSize);
  const map = readBytes(source, Math.ceil(mapStart / entrySize) * entrySize, count * entrySize);
  const view = new DataView(map.buffer);
  const extents: Extent[] = [];
  for (let index = 0; index < count; index++) {
    const block = view.getUint32(index * entrySize + (indexed ? 4 : 0), true);
    if (block === EROFS_NULL_ADDR) continue;
    const offset = index * chunkSize;
    const length = Math.min(chunkSize, size - offset);
    const position = block * EROFS_BLKSIZ;
    const last = extents.at(-1);
    if (
      last !== undefined &&
      last.offset + last.length === offset &&
      last.position + last.length === position
    )
      extents[extents.length - 1] = { ...last, length: last.length + length };
    else extents.push({ offset, length, source, position });
  }
  return extents;
}
