// A 16550A serial port as the PC16550D data sheet describes it, as far as a driver can tell: bytes leave at once, so
// the transmitter is always idle, and line speed means nothing.
import type { BusDevice } from "../../bus/bus-device.ts";
import type { InterruptLine } from "../../virtio/device.ts";
import { InputRing } from "./input-ring.ts";
import * as r from "./registers.ts";
import * as w from "./state.ts";

export interface SerialPortOptions {
  /** `serialStateWords` words, set up once by `resetSerialState`; one port may have an object on every thread. */
  readonly state: Int32Array;
  /** Takes each byte that the guest sends, on the thread that serves the guest's access. */
  readonly output: (byte: number) => void;
  /** Edge triggered, as COM1's interrupt is. */
  readonly interrupt: InterruptLine;
}

/** Ports of a serial port. */
export const serialPortLength = 8;

/**
 * A serial port for eight I/O ports (or bytes of MMIO).
 *
 * @example
 * ```ts
 * const state = new Int32Array(new SharedArrayBuffer(serialStateWords * 4));
 * resetSerialState(state);
 * ports.attach(COM1_PORT, serialPortLength, new SerialPort({ state, output: (byte) => log.push(byte), interrupt }));
 * ```
 */
export class SerialPort implements BusDevice {
  readonly name = "serial";
  readonly #state: Int32Array;
  readonly #input: InputRing;
  readonly #output: (byte: number) => void;
  readonly #interrupt: InterruptLine;

  constructor({ state, output, interrupt }: SerialPortOptions) {
    if (state.length < w.serialStateWords)
      throw new RangeError(`A serial port's state has ${w.serialStateWords} words, not ${state.length}`);
    this.#state = state;
    this.#input = new InputRing(state);
    this.#output = output;
    this.#interrupt = interrupt;
  }

  /** Gives the guest bytes to read; returns how many there was room for. */
  receive(bytes: Uint8Array): number {
    // In loopback mode the line is cut off: what comes from outside is lost, as it is on hardware.
    if (this.#isLoopback) return bytes.length;
    let accepted = 0;
    for (const byte of bytes) {
      if (!this.#input.push(byte)) break;
      accepted++;
    }
    if (accepted > 0) this.#raise(r.IER_RECEIVED);
    return accepted;
  }

  /** A wide access is one of each of its bytes, as on the ISA bus. */
  read(offset: number, into: Uint8Array): void {
    for (let index = 0; index < into.length; index++) into[index] = this.#readRegister(offset + index);
  }

  write(offset: number, data: Uint8Array): void {
    for (const [index, value] of data.entries()) this.#writeRegister(offset + index, value);
  }

  #readRegister(offset: number): number {
    switch (offset) {
      case r.RBR_THR:
        return this.#isDivisorLatched ? this.#load(w.DIVISOR_LOW_WORD) : (this.#input.shift() ?? 0);
      case r.IER:
        return this.#load(this.#isDivisorLatched ? w.DIVISOR_HIGH_WORD : w.IER_WORD);
      case r.IIR_FCR:
        return this.#identifyInterrupt();
      case r.LCR:
        return this.#load(w.LCR_WORD);
      case r.MCR:
        return this.#load(w.MCR_WORD);
      case r.LSR:
        return r.LSR_IDLE | (this.#input.isEmpty ? 0 : r.LSR_DATA_READY);
      case r.MSR:
        return modemLines(this.#load(w.MCR_WORD)) | Atomics.exchange(this.#state, w.MODEM_CHANGES_WORD, 0);
      case r.SCR:
        return this.#load(w.SCR_WORD);
      default:
        return 0;
    }
  }

  #writeRegister(offset: number, value: number): void {
    switch (offset) {
      case r.RBR_THR:
        if (this.#isDivisorLatched) this.#store(w.DIVISOR_LOW_WORD, value);
        else this.#transmit(value);
        return;
      case r.IER:
        if (this.#isDivisorLatched) this.#store(w.DIVISOR_HIGH_WORD, value);
        else this.#enableInterrupts(value & r.IER_MASK);
        return;
      case r.IIR_FCR:
        return this.#controlFifos(value);
      case r.LCR:
        return this.#store(w.LCR_WORD, value);
      case r.MCR:
        return this.#controlModem(value & r.MCR_MASK);
      case r.SCR:
        return this.#store(w.SCR_WORD, value);
    }
  }

  #transmit(byte: number): void {
    if (!this.#isLoopback) this.#output(byte);
    else if (this.#input.push(byte)) this.#raise(r.IER_RECEIVED);
    this.#store(w.TRANSMIT_EMPTY_WORD, 1);
    this.#raise(r.IER_TRANSMIT_EMPTY);
  }

  /** Enabling an interrupt whose cause is there raises it; the transmitter, always empty, is a cause at once. */
  #enableInterrupts(wanted: number): void {
    const added = wanted & ~this.#load(w.IER_WORD);
    this.#store(w.IER_WORD, wanted);
    if ((added & r.IER_TRANSMIT_EMPTY) !== 0) this.#store(w.TRANSMIT_EMPTY_WORD, 1);
    if ((added & this.#causes()) !== 0) this.#interrupt.pulse();
  }

  /** The causes in the data sheet's order of priority; to see "transmitter empty" here clears it. */
  #identifyInterrupt(): number {
    const fifos = (this.#load(w.FCR_WORD) & r.FCR_ENABLE) === 0 ? 0 : r.IIR_FIFOS_ENABLED;
    const pending = this.#causes() & this.#load(w.IER_WORD);
    if ((pending & r.IER_RECEIVED) !== 0) return fifos | r.IIR_RECEIVED;
    if ((pending & r.IER_TRANSMIT_EMPTY) !== 0) {
      this.#store(w.TRANSMIT_EMPTY_WORD, 0);
      return fifos | r.IIR_TRANSMIT_EMPTY;
    }
    return fifos | ((pending & r.IER_MODEM) === 0 ? r.IIR_NONE : r.IIR_MODEM);
  }

  #controlFifos(value: number): void {
    const toggled = ((value ^ this.#load(w.FCR_WORD)) & r.FCR_ENABLE) !== 0;
    if (toggled || (value & r.FCR_CLEAR_RECEIVED) !== 0) this.#input.clear();
    this.#store(w.FCR_WORD, value);
  }

  #controlModem(value: number): void {
    const before = modemLines(Atomics.exchange(this.#state, w.MCR_WORD, value));
    const after = modemLines(value);
    // The ring indicator reports its falling edge only, the others every change.
    const changes = ((before ^ after) & ~r.MSR_RI) | (before & ~after & r.MSR_RI);
    if (changes === 0) return;
    Atomics.or(this.#state, w.MODEM_CHANGES_WORD, changes >> 4);
    this.#raise(r.IER_MODEM);
  }

  /** What there is to interrupt for, in the bits of IER. */
  #causes(): number {
    return (
      (this.#input.isEmpty ? 0 : r.IER_RECEIVED) |
      (this.#load(w.TRANSMIT_EMPTY_WORD) === 0 ? 0 : r.IER_TRANSMIT_EMPTY) |
      (this.#load(w.MODEM_CHANGES_WORD) === 0 ? 0 : r.IER_MODEM)
    );
  }

  /** One edge for each new cause that is wanted: the driver looks at IIR until nothing is left. */
  #raise(cause: number): void {
    if ((this.#load(w.IER_WORD) & cause) !== 0) this.#interrupt.pulse();
  }

  get #isDivisorLatched(): boolean {
    return (this.#load(w.LCR_WORD) & r.LCR_DLAB) !== 0;
  }

  get #isLoopback(): boolean {
    return (this.#load(w.MCR_WORD) & r.MCR_LOOPBACK) !== 0;
  }

  #load(word: number): number {
    return Atomics.load(this.#state, word);
  }

  #store(word: number, value: number): void {
    Atomics.store(this.#state, word, value);
  }
}

/** Our end is always ready to send and connected; in loopback mode the outputs are the inputs. */
function modemLines(mcr: number): number {
  if ((mcr & r.MCR_LOOPBACK) === 0) return r.MSR_CTS | r.MSR_DSR | r.MSR_DCD;
  return (
    ((mcr & r.MCR_RTS) === 0 ? 0 : r.MSR_CTS) |
    ((mcr & r.MCR_DTR) === 0 ? 0 : r.MSR_DSR) |
    ((mcr & r.MCR_OUT1) === 0 ? 0 : r.MSR_RI) |
    ((mcr & r.MCR_OUT2) === 0 ? 0 : r.MSR_DCD)
  );
}
