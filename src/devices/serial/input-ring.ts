import { INPUT_HEAD_WORD, INPUT_TAIL_WORD, inputSlot, SLOT_FULL } from "./state.ts";

/**
 * Bytes on their way to the guest, bounded. Any thread may put one in (the monitor's, or a processor's in loopback
 * mode) and any may take one out; a slot's own word says whether it is full, so no thread waits for another.
 */
export class InputRing {
  readonly #words: Int32Array;

  constructor(words: Int32Array) {
    this.#words = words;
  }

  get isEmpty(): boolean {
    return Atomics.load(this.#words, inputSlot(Atomics.load(this.#words, INPUT_TAIL_WORD))) === 0;
  }

  /** False when the ring is full. */
  push(byte: number): boolean {
    for (;;) {
      const head = Atomics.load(this.#words, INPUT_HEAD_WORD);
      const slot = inputSlot(head);
      if (Atomics.load(this.#words, slot) !== 0) return false;
      // Another thread that put one here first has only to move the head, which the next line does for it too.
      const taken = Atomics.compareExchange(this.#words, slot, 0, SLOT_FULL | byte) === 0;
      Atomics.compareExchange(this.#words, INPUT_HEAD_WORD, head, (head + 1) | 0);
      if (taken) return true;
    }
  }

  shift(): number | undefined {
    const tail = Atomics.load(this.#words, INPUT_TAIL_WORD);
    const content = Atomics.exchange(this.#words, inputSlot(tail), 0);
    if (content === 0) return undefined;
    Atomics.compareExchange(this.#words, INPUT_TAIL_WORD, tail, (tail + 1) | 0);
    return content & 0xff;
  }

  clear(): void {
    while (this.shift() !== undefined);
  }
}
