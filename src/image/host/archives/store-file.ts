import { aborted } from "../registry/retry.ts";
import type { ContentStore, Expected, StoredBlob } from "../store/content-store.ts";

/** Copies pieces of a file into the store, telling how far it is and stopping when asked to. */
export function storeFile(
  pieces: Iterable<Uint8Array>,
  options: {
    readonly store: ContentStore;
    readonly expected: Expected;
    readonly signal: AbortSignal;
    readonly onLength: (length: number) => void;
  },
): Promise<StoredBlob> {
  const { store, expected, signal, onLength } = options;
  function* watched(): Generator<Uint8Array, void, undefined> {
    let length = 0;
    for (const piece of pieces) {
      if (signal.aborted) throw aborted(signal);
      yield piece;
      length += piece.length;
      onLength(length);
    }
  }
  return store.ingest(watched(), expected);
}
