import { MADV_POPULATE_WRITE } from "../../abi/linux.x64.generated.ts";
import type { Vm } from "../../hypervisor/vm.ts";
import { gpa } from "../../memory/address.ts";
import type { OpenedSnapshot } from "../../snapshot/host/open-snapshot.ts";
import { writeWorkingSet } from "../../snapshot/host/working-set-file.ts";
import { type PageMap, pageLength } from "../../snapshot/page-map.ts";
import { maxWorkingSetPages, type WorkingSet } from "../../snapshot/working-set.ts";
import type { Home } from "../../storage/home.ts";
import type { RamPiece } from "./machine-shell.ts";
import { presentPages } from "./private-pages.ts";

/**
 * Brings in what the guest is about to need: its own copies of the pages that it writes, and all of them into its page
 * tables. Each page would otherwise cost it an exit when it is first touched; one that is read and then written costs
 * three, because the kernel takes the shared page out of the tables again when it makes the copy.
 *
 * A hint: a host that cannot (before Linux 5.14, and 6.11 for the tables) leaves it to the guest.
 */
export function bringIn({ vm, ram }: { vm: Vm; ram: readonly RamPiece[] }, pages: WorkingSet): void {
  try {
    for (const { piece, at, length } of stretches(pages.written, ram))
      piece.mapping.advise(MADV_POPULATE_WRITE, { offset: at, length });
    for (const { piece, at, length } of stretches(pages.touched, ram))
      if (!vm.mapAhead(gpa(piece.start + at), length)) return;
  } catch {
    // Not this kernel, or not enough memory: then the guest finds out page by page.
  }
}

/**
 * Keeps what a restored machine has touched so far, for those that are restored after it. Never throws, whatever the guest
 * does meanwhile; undefined when it has touched too much, or when nothing could be found out.
 */
export function keepWorkingSet(
  home: Home,
  snapshot: OpenedSnapshot,
  ram: readonly RamPiece[],
): WorkingSet | undefined {
  try {
    const pages = presentPages(ram);
    if (pages.touched.count > maxWorkingSetPages) return undefined;
    writeWorkingSet(home, snapshot, pages);
    return pages;
  } catch {
    // The machine has just ended, or a disk is full: the next one finds out again.
    return undefined;
  }
}

/** Runs of pages, in the pieces of RAM where they lie; in bytes. */
function* stretches(
  pages: PageMap,
  ram: readonly RamPiece[],
): Generator<{ piece: RamPiece; at: number; length: number }, void, undefined> {
  for (const run of pages.runs()) {
    let start = 0;
    for (const piece of ram) {
      const from = Math.max(run.start * pageLength, start);
      const to = Math.min((run.start + run.count) * pageLength, start + piece.mapping.length);
      if (from < to) yield { piece, at: from - start, length: to - from };
      start += piece.mapping.length;
    }
  }
}
