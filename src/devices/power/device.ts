// ACPI 6.4, section 4.8.3.7 (sleep control and status registers of a hardware-reduced machine) and 4.8.3.6 (reset
// register): three adjoining ports.
import type { BusDevice } from "../../bus/bus-device.ts";

export interface PowerPortsOptions {
  /** The sleep type that powers off, as the machine's `_S5` object names it. */
  readonly powerOffSleepType: number;
  /** What has to be written to the reset register, as the FADT says. */
  readonly resetValue: number;
  readonly onPowerOff: () => void;
  readonly onReset: () => void;
}

/** Sleep control, sleep status, reset. */
export const powerPortsLength = 3;

const SLEEP_CONTROL = 0;
const RESET = 2;
const SLP_EN = 0x20;
const SLP_TYP_SHIFT = 2;
const SLP_TYP_MASK = 7;

/** The ports by which a guest powers its machine off or resets it. Sleeping and waking do not exist: all read 0. */
export class PowerPorts implements BusDevice {
  readonly name = "power";
  readonly #options: PowerPortsOptions;

  constructor(options: PowerPortsOptions) {
    this.#options = options;
  }

  read(_offset: number, into: Uint8Array): void {
    into.fill(0);
  }

  write(offset: number, data: Uint8Array): void {
    const { powerOffSleepType, resetValue, onPowerOff, onReset } = this.#options;
    const [value = 0] = data;
    if (offset === RESET && value === resetValue) onReset();
    if (offset !== SLEEP_CONTROL || (value & SLP_EN) === 0) return;
    if (((value >> SLP_TYP_SHIFT) & SLP_TYP_MASK) === powerOffSleepType) onPowerOff();
  }
}
