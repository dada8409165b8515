import { PageMap } from "./page-map.ts";

/** The pages to add to a map for it to have no more than so many runs: its narrowest gaps. */
export function narrowGaps(map: PageMap, maxRuns: number): PageMap {
  const runs = [...map.runs()];
  const gaps = runs.slice(1).map((run, index) => {
    const { start = 0, count = 0 } = runs[index] ?? {};
    return { start: start + count, count: run.start - start - count };
  });
  const narrowest = gaps.sort((a, b) => a.count - b.count).slice(0, Math.max(0, runs.length - maxRuns));
  const pages = new PageMap(map.pages);
  for (const { start, count } of narrowest) pages.add(start, count);
  return pages;
}
