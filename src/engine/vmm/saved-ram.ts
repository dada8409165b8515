import { MAP_PRIVATE, O_RDONLY, PROT_READ, PROT_WRITE } from "../../abi/linux.x64.generated.ts";
import { DisposalStack } from "../../lifetime/disposal-stack.ts";
import { mappingsOfRegions, type RamRegion, type RegionMapping } from "../../snapshot/host/memory-regions.ts";
import type { MemoryRun } from "../../snapshot/memory-runs.ts";
import { type OwnedFd, open } from "../../sys/linux/file.ts";
import { Mapping } from "../../sys/linux/mapping.ts";

/**
 * Maps a saved memory, one mapping per region of RAM. Nothing is read: a page comes from its file when it is first
 * touched, and becomes this machine's own when it is first written.
 */
export function mapSavedRam(runs: readonly MemoryRun[], regions: readonly RamRegion[]): Mapping[] {
  using files = new OpenFiles();
  using undo = new DisposalStack();
  const mappings = mappingsOfRegions(runs, regions).map((pieces, index) => {
    const length = regions[index]?.length ?? 0;
    const [only, ...more] = pieces;
    if (only !== undefined && more.length === 0)
      return undo.use(Mapping.map(length, mapOptions(files, only)));
    const mapping = undo.use(Mapping.anonymous(length));
    for (const piece of pieces) mapping.replace(piece.at, piece.length, mapOptions(files, piece));
    return mapping;
  });
  undo.move();
  return mappings;
}

function mapOptions(files: OpenFiles, { file, offset }: RegionMapping): Parameters<typeof Mapping.map>[1] {
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

  open(path: string): OwnedFd["fd"] {
    const file = this.#files.get(path) ?? this.#owned.use(open(path, O_RDONLY));
    this.#files.set(path, file);
    return file.fd;
  }

  [Symbol.dispose](): void {
    this.#owned[Symbol.dispose]();
  }
}
