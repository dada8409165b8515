import type { Brand } from "../abi/brand.ts";
import type { Fd } from "../abi/fd.ts";

/** A global system interrupt: the number of an interrupt controller's input. */
export type Gsi = Brand<number, "Gsi">;

/** Mints a `Gsi`. */
export function gsi(value: number): Gsi {
  if (!Number.isInteger(value) || value < 0 || value > 0xffff)
    throw new RangeError(`An interrupt number is a small integer, not ${value}`);
  return value as Gsi;
}

/** One interrupt input, driven by one device. */
export interface IrqLine extends Disposable {
  /** Writing 8 bytes to this eventfd does what `pulse` does; from any thread or process. */
  readonly fd: Fd;
  /** An edge: the interrupt is delivered once. */
  pulse(): void;
  /** A level: delivered again and again until it is set to false. Not to be mixed with `pulse`. */
  set(level: boolean): void;
}
