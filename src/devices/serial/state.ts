import type { StateCodec } from "../../snapshot/state-codec.ts";
import { wordsCodec } from "../../snapshot/words-codec.ts";

/**
 * A serial port's state as words of one array, so that every processor's thread can serve the port and the monitor's
 * thread can feed it. In a machine it lies over a SharedArrayBuffer.
 *
 * Layout: the named words below, then `inputSlots` slots of the input ring.
 */
export const IER_WORD = 0;
export const FCR_WORD = 1;
export const LCR_WORD = 2;
export const MCR_WORD = 3;
export const SCR_WORD = 4;
export const DIVISOR_LOW_WORD = 5;
export const DIVISOR_HIGH_WORD = 6;
/** 1 from a byte's leaving until the driver has seen that in IIR. */
export const TRANSMIT_EMPTY_WORD = 7;
/** Changes of the modem lines that MSR has not shown yet: its low four bits. */
export const MODEM_CHANGES_WORD = 8;
/** Where the next byte goes in; only ever counts up. */
export const INPUT_HEAD_WORD = 9;
/** Where the next byte comes out. */
export const INPUT_TAIL_WORD = 10;

const inputStart = 16;
/** A slot is 0 when empty, otherwise its byte plus `SLOT_FULL`. Enough for a pasted line; a power of two. */
export const inputSlots = 1024;
export const SLOT_FULL = 0x100;

/** Words that a serial port's state takes. */
export const serialStateWords: number = inputStart + inputSlots;

/** Index of the slot that a head or tail count stands for. */
export function inputSlot(count: number): number {
  return inputStart + (count & (inputSlots - 1));
}

/** A port that has just been reset. 12: the divisor of 9600 baud. */
export function resetSerialState(state: Int32Array): void {
  state.fill(0);
  state[DIVISOR_LOW_WORD] = 12;
}

export const serialStateCodec: StateCodec<Int32Array> = wordsCodec({
  id: "serial",
  version: 1,
  length: serialStateWords,
  check: (words) =>
    words.every((word, index) => isWord(index, word))
      ? undefined
      : "a register or a byte of input has no such value",
});

function isWord(index: number, word: number): boolean {
  if (index === INPUT_HEAD_WORD || index === INPUT_TAIL_WORD) return true;
  if (index < inputStart) return word >= 0 && word <= 0xff;
  return word === 0 || (word >= SLOT_FULL && word <= SLOT_FULL + 0xff);
}
