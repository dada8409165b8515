import type { DirtyLog } from "../../hypervisor/vm.ts";
import { DisposalStack } from "../../lifetime/disposal-stack.ts";
import { PageMap, pageLength } from "../../snapshot/page-map.ts";
import type { RamSlot } from "./machine-shell.ts";

/** Which pages of a running machine's RAM change, from when this is made until it is disposed of. */
export class RamLog implements Disposable {
  readonly #pieces: readonly { readonly log: DirtyLog; readonly first: number }[];
  readonly #pages: number;
  readonly #owned: DisposalStack;

  constructor(ram: readonly RamSlot[]) {
    using undo = new DisposalStack();
    let first = 0;
    this.#pieces = ram.map(({ slot }) => {
      const piece = { log: undo.use(slot.logDirty()), first };
      first += slot.length / pageLength;
      return piece;
    });
    this.#pages = first;
    this.#owned = undo.move();
  }

  /** Those that have changed since the last call. Regions follow each other in the map. */
  take(): PageMap {
    const map = new PageMap(this.#pages);
    for (const { log, first } of this.#pieces) map.addBitmap(first, log.take());
    return map;
  }

  [Symbol.dispose](): void {
    this.#owned[Symbol.dispose]();
  }
}
