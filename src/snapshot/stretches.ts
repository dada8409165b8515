import type { PageMap, PageRun } from "./page-map.ts";

export interface StretchOptions {
  /** No stretch reaches over a multiple of so many pages. */
  readonly blockPages: number;
  /** Pages between two runs that are taken in with them; default 0. */
  readonly maxGap?: number;
}

/** The runs of a map, cut and joined to what is handled at once; ascending. */
export function* stretches(
  pages: PageMap,
  { blockPages, maxGap = 0 }: StretchOptions,
): Generator<PageRun, void, undefined> {
  let open: PageRun | undefined;
  for (const piece of pieces(pages, blockPages)) {
    if (open !== undefined && canJoin(open, piece, { blockPages, maxGap })) {
      open = { start: open.start, count: piece.start + piece.count - open.start };
    } else {
      if (open !== undefined) yield open;
      open = piece;
    }
  }
  if (open !== undefined) yield open;
}

/** The runs, cut where a block ends. */
function* pieces(pages: PageMap, blockPages: number): Generator<PageRun, void, undefined> {
  for (const { start, count } of pages.runs()) {
    const end = start + count;
    for (let at = start; at < end; ) {
      const next = Math.min(end, at - (at % blockPages) + blockPages);
      yield { start: at, count: next - at };
      at = next;
    }
  }
}

function canJoin(
  open: PageRun,
  piece: PageRun,
  { blockPages, maxGap }: { readonly blockPages: number; readonly maxGap: number },
): boolean {
  const isSameBlock = Math.floor(open.start / blockPages) === Math.floor(piece.start / blockPages);
  return isSameBlock && piece.start - open.start - open.count <= maxGap;
}
