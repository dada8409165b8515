import { invalidSnapshot } from "./snapshot-error.ts";
import type { StateCodec } from "./state-codec.ts";

export interface WordsCodecOptions {
  readonly id: string;
  readonly version: number;
  /** How many words the state has. */
  readonly length: number;
  /** Says what is wrong with words that cannot be a state, or undefined. */
  readonly check?: (words: Int32Array) => string | undefined;
  readonly migrations?: StateCodec<Int32Array>["migrations"];
}

/** For state that is an array of 32-bit words; stored little-endian. */
export function wordsCodec(options: WordsCodecOptions): StateCodec<Int32Array> {
  const { id, version, length, check, migrations = [] } = options;
  return {
    id,
    version,
    migrations,
    encode(words) {
      if (words.length !== length)
        throw new RangeError(`State of ${id} has ${length} words, not ${words.length}`);
      const view = new DataView(new ArrayBuffer(length * 4));
      for (let index = 0; index < length; index++) view.setInt32(index * 4, words[index] ?? 0, true);
      return new Uint8Array(view.buffer);
    },
    parse(bytes) {
      if (bytes.length !== length * 4)
        throw invalidSnapshot(`its ${id} state has ${bytes.length} bytes, not ${length * 4}`);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      const words = Int32Array.from({ length }, (_, index) => view.getInt32(index * 4, true));
      const problem = check?.(words);
      if (problem !== undefined) throw invalidSnapshot(`its ${id} state is impossible: ${problem}`);
      return words;
    },
  };
}
