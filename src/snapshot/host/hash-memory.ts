import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import type { Sha256 } from "../manifest.ts";
import { type PageMap, pageLength } from "../page-map.ts";
import { invalidSnapshot } from "../snapshot-error.ts";
import { blockLength, isZero } from "./memory-content.ts";

export interface HashMemoryOptions {
  readonly pages: PageMap;
  /** Also makes sure that all other pages are zero, as they must be in a snapshot without a parent. */
  readonly checkHoles: boolean;
}

/** The digest of a memory file: of the pages it speaks about, in order. */
export async function hashMemory(path: string, { pages, checkHoles }: HashMemoryOptions): Promise<Sha256> {
  await using file = await open(path, "r");
  const hash = createHash("sha256");
  const buffer = new Uint8Array(blockLength);
  const blockPages = blockLength / pageLength;
  for (let first = 0; first < pages.pages; first += blockPages) {
    const count = Math.min(blockPages, pages.pages - first);
    if (!checkHoles && !pages.hasAny(first, count)) continue;
    const block = buffer.subarray(0, count * pageLength);
    await readFully(file, first * pageLength, block);
    for (let page = 0; page < count; page++) {
      const bytes = block.subarray(page * pageLength, (page + 1) * pageLength);
      if (pages.has(first + page)) hash.update(bytes);
      else if (checkHoles && !isZero(bytes)) throw invalidSnapshot("its memory was altered");
    }
  }
  return hash.digest("hex");
}

interface Readable {
  read(into: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }>;
}

/** Fills `into` from this offset on. */
export async function readFully(file: Readable, position: number, into: Uint8Array): Promise<void> {
  for (let done = 0; done < into.length; ) {
    const { bytesRead } = await file.read(into, done, into.length - done, position + done);
    if (bytesRead === 0) throw invalidSnapshot("its memory file is too short");
    done += bytesRead;
  }
}
