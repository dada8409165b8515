import { MADV_RANDOM, MAP_PRIVATE, O_RDONLY, PROT_READ, PROT_WRITE } from "../../abi/linux.x64.generated.ts";
import { DisposalStack } from "../../lifetime/disposal-stack.ts";
import { mappingsOfRegions, type RegionMapping } from "../../snapshot/host/memory-regions.ts";
import type { MemoryRun } from "../../snapshot/memory-runs.ts";
import { dropCached, type OwnedFd, open } from "../../sys/linux/file.ts";
import type { MapOptions } from "../../sys/linux/mapping.ts";
import { type RamPiece, regionsOf } from "./machine-shell.ts";

export interface SavedRamOptions {
  /**
   * Bring in the pages that are touched and no others, so that it can be told which those are. The system otherwise maps what
   * it has in its cache around a page as well.
   */
  readonly singly: boolean;
}

/**
 * Puts a saved memory in place of empty RAM. Nothing is read: a page comes from its file when it is first touched, and
 * becomes this machine's own when it is first written.
 */
export function mapSavedRam(
  runs: readonly MemoryRun[],
  ram: readonly RamPiece[],
  { singly }: SavedRamOptions,
): void {
  using files = new OpenFiles(singly);
  for (const [index, pieces] of mappingsOfRegions(runs, regionsOf(ram)).entries())
    for (const piece of pieces) ram[index]?.mapping.replace(piece.at, piece.length, mapOptions(files, piece));
  if (singly) for (const { mapping } of ram) mapping.advise(MADV_RANDOM);
}

function mapOptions(files: OpenFiles, { file, offset }: RegionMapping): MapOptions {
  return {
    protection: PROT_READ | PROT_WRITE,
    flags: MAP_PRIVATE,
    fd: files.open(file),
    offset,
  };
}

/** Each file is opened once, and only until everything is mapped. */
class OpenFiles implements Disposable {
  readonly #files: Map<string, OwnedFd> = new Map();
  readonly #owned: DisposalStack = new DisposalStack();
  readonly #uncached: boolean;

  constructor(uncached: boolean) {
    this.#uncached = uncached;
  }

  open(path: string): OwnedFd["fd"] {
    const known = this.#files.get(path);
    if (known !== undefined) return known.fd;
    const file = this.#owned.use(open(path, O_RDONLY));
    this.#files.set(path, file);
    if (this.#uncached) dropCached(file.fd);
    return file.fd;
  }

  [Symbol.dispose](): void {
    this.#owned[Symbol.dispose]();
  }
}
