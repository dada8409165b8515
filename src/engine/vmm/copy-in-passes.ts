import type { PageMap } from "../../snapshot/page-map.ts";

export interface PassesOptions {
  /** Copies pages of a memory that may change meanwhile; all of them if none are named. */
  readonly copy: (pages: PageMap | undefined) => Promise<void>;
  /** Which pages have changed since the last call, or since the log began. */
  readonly takeChanged: () => PageMap;
}

/** Of the guest's time each pass takes a part: a guest that writes as fast as we copy is not run after. */
const maxPasses = 3;

/** 1 MiB, which is copied faster than its pages could be found again. */
const fewPages = 256;

/**
 * Copies a memory while it changes, and what has changed again, for as long as that becomes less. Resolves with the pages
 * that have been taken from the log and not been copied since.
 */
export async function copyInPasses(
  first: PageMap | undefined,
  { copy, takeChanged }: PassesOptions,
): Promise<PageMap> {
  let before = first?.count ?? Number.POSITIVE_INFINITY;
  await copy(first);
  for (let pass = 2; ; pass++) {
    const changed = takeChanged();
    const { count } = changed;
    if (pass > maxPasses || count <= fewPages || count >= before) return changed;
    await copy(changed);
    before = count;
  }
}
