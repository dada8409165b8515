import { canBeBasedOn, type OpenedSnapshot } from "../../snapshot/host/open-snapshot.ts";
import type { SnapshotWriter } from "../../snapshot/host/snapshot-writer.ts";
import { type PageMap, pageLength } from "../../snapshot/page-map.ts";
import { copyInPasses } from "./copy-in-passes.ts";
import type { RunningMachine } from "./machine.ts";
import { privatePages } from "./private-pages.ts";
import { RamLog } from "./ram-log.ts";

/** What is left to copy when the machine stands still. Until it is disposed of, the guest's writes may be logged. */
export interface Rest extends Disposable {
  /** To be called when nothing changes any more; undefined means everything. */
  pages(): PageMap | undefined;
}

export interface PreCopyOptions {
  readonly writer: SnapshotWriter;
  /** What the machine was restored from. */
  readonly parent: OpenedSnapshot | undefined;
}

/** 4 MiB: to copy them takes about as long as to have it told what changes meanwhile. */
const worthwhilePages = 1024;

/**
 * Copies the memory of a machine while it runs, if that is much: what it has written since its own snapshot, or else
 * everything.
 */
export async function preCopy(
  { vm, ram, content }: RunningMachine,
  { writer, parent }: PreCopyOptions,
): Promise<Rest> {
  const written = (): PageMap | undefined =>
    parent !== undefined && canBeBasedOn(parent) ? privatePages(ram) : undefined;
  const count = written()?.count ?? content.length / pageLength;
  if (count <= worthwhilePages || !vm.capabilities.dirtyLog)
    return { pages: written, [Symbol.dispose]: () => {} };
  const log = new RamLog(ram);
  try {
    // Asked for again: what was written before the log began is not in it. From now on no page becomes the machine's own
    // but by being written, so that the log is all there is to look at when the machine stands still.
    const left = await copyInPasses(written(), {
      copy: (candidates) => writer.copyMemory(content, { parent, candidates }),
      takeChanged: () => log.take(),
    });
    const pages = (): PageMap => {
      left.addAll(log.take());
      return left;
    };
    return { pages, [Symbol.dispose]: () => log[Symbol.dispose]() };
  } catch (error) {
    log[Symbol.dispose]();
    throw error;
  }
}
