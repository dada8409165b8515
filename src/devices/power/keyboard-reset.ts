import type { BusDevice } from "../../bus/bus-device.ts";

/** Pulses the controller's output 0, which is wired to the processor's reset. */
const PULSE_RESET = 0xfe;

/**
 * All of a keyboard controller that a machine without a keyboard needs: the command that resets it. The status reads
 * as 0, "ready for a command, nothing to read".
 */
export class KeyboardReset implements BusDevice {
  readonly name = "keyboard reset";
  readonly #onReset: () => void;

  constructor(onReset: () => void) {
    this.#onReset = onReset;
  }

  read(_offset: number, into: Uint8Array): void {
    into.fill(0);
  }

  write(_offset: number, data: Uint8Array): void {
    if (data[0] === PULSE_RESET) this.#onReset();
  }
}
