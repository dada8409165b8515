import assert from "node:assert/strict";
import { test } from "node:test";
import { SerialPort } from "./device.ts";
import * as r from "./registers.ts";
import { inputSlots, resetSerialState, serialStateCodec, serialStateWords } from "./state.ts";

interface Rig {
  readonly port: SerialPort;
  readonly output: number[];
  readonly state: Int32Array;
  interrupts(): number;
  in(offset: number): number;
  out(offset: number, value: number): void;
}

function rig(): Rig {
  const state = new Int32Array(new SharedArrayBuffer(serialStateWords * 4));
  resetSerialState(state);
  const output: number[] = [];
  let pulses = 0;
  const interrupt = {
    pulse: () => {
      pulses++;
    },
  };
  const port = new SerialPort({ state, output: (byte) => output.push(byte), interrupt });
  return {
    port,
    output,
    state,
    interrupts: () => pulses,
    in(offset) {
      const byte = new Uint8Array(1);
      port.read(offset, byte);
      return byte[0] ?? 0;
    },
    out: (offset, value) => port.write(offset, Uint8Array.of(value)),
  };
}

test("bytes written come out, and the transmitter is always idle", () => {
  const it = rig();
  for (const byte of [0x68, 0x69]) {
    assert.equal(it.in(r.LSR), r.LSR_IDLE);
    it.out(r.RBR_THR, byte);
  }
  assert.deepEqual(it.output, [0x68, 0x69]);
  assert.equal(it.interrupts(), 0);
});

test("a driver that looks for the chip finds a 16550A, and none of its successors", () => {
  const it = rig();
  it.out(r.IER, 0);
  assert.equal(it.in(r.IER), 0);
  it.out(r.IER, 0xff);
  assert.equal(it.in(r.IER), 0x0f);
  it.out(r.IER, 0);
  for (const value of [0x55, 0xaa]) {
    it.out(r.SCR, value);
    assert.equal(it.in(r.SCR), value);
  }
  it.out(r.MCR, r.MCR_LOOPBACK | r.MCR_OUT2 | r.MCR_RTS);
  assert.equal(it.in(r.MSR) & 0xf0, r.MSR_CTS | r.MSR_DCD);
  it.out(r.MCR, 0);
  assert.equal(it.in(r.IIR_FCR) >> 6, 0);
  it.out(r.IIR_FCR, r.FCR_ENABLE | 0x20);
  assert.equal(it.in(r.IIR_FCR), r.IIR_FIFOS_ENABLED | r.IIR_NONE);
});

test("the divisor is apart from the registers it hides", () => {
  const it = rig();
  it.out(r.LCR, r.LCR_DLAB | 3);
  it.out(r.RBR_THR, 1);
  it.out(r.IER, 2);
  assert.deepEqual([it.in(r.RBR_THR), it.in(r.IER)], [1, 2]);
  it.out(r.LCR, 3);
  assert.deepEqual([it.in(r.RBR_THR), it.in(r.IER), it.in(r.LCR)], [0, 0, 3]);
  assert.deepEqual(it.output, []);
});

test("the transmitter's interrupt comes when it is enabled and after each byte, and reading IIR clears it", () => {
  const it = rig();
  it.out(r.IER, r.IER_TRANSMIT_EMPTY);
  assert.equal(it.interrupts(), 1);
  assert.equal(it.in(r.IIR_FCR), r.IIR_TRANSMIT_EMPTY);
  assert.equal(it.in(r.IIR_FCR), r.IIR_NONE);
  it.out(r.RBR_THR, 1);
  assert.equal(it.interrupts(), 2);
  assert.equal(it.in(r.IIR_FCR), r.IIR_TRANSMIT_EMPTY);
  // Off and on again asserts it anew: drivers test for chips that fail to.
  it.out(r.IER, 0);
  it.out(r.IER, r.IER_TRANSMIT_EMPTY);
  assert.equal(it.interrupts(), 3);
  assert.equal(it.in(r.IIR_FCR), r.IIR_TRANSMIT_EMPTY);
});

test("input interrupts, shows in LSR and is read in order, before the transmitter's turn in IIR", () => {
  const it = rig();
  it.out(r.IER, r.IER_RECEIVED | r.IER_TRANSMIT_EMPTY);
  const before = it.interrupts();
  assert.equal(it.port.receive(Uint8Array.of(7, 8)), 2);
  assert.equal(it.interrupts(), before + 1);
  assert.equal(it.in(r.IIR_FCR), r.IIR_RECEIVED);
  assert.equal(it.in(r.LSR), r.LSR_IDLE | r.LSR_DATA_READY);
  assert.deepEqual([it.in(r.RBR_THR), it.in(r.RBR_THR), it.in(r.RBR_THR)], [7, 8, 0]);
  assert.equal(it.in(r.LSR), r.LSR_IDLE);
  assert.equal(it.in(r.IIR_FCR), r.IIR_TRANSMIT_EMPTY);
});

test("input that came before its interrupt was enabled interrupts when it is", () => {
  const it = rig();
  it.port.receive(Uint8Array.of(1));
  assert.equal(it.interrupts(), 0);
  it.out(r.IER, r.IER_RECEIVED);
  assert.equal(it.interrupts(), 1);
});

test("input is bounded, and room comes back as it is read", () => {
  const it = rig();
  assert.equal(it.port.receive(new Uint8Array(inputSlots + 5).fill(1)), inputSlots);
  assert.equal(it.port.receive(Uint8Array.of(2)), 0);
  it.in(r.RBR_THR);
  assert.equal(it.port.receive(Uint8Array.of(2, 3)), 1);
});

test("FIFO control clears the input when it is told to, or switches the FIFOs", () => {
  const it = rig();
  for (const value of [r.FCR_ENABLE, r.FCR_ENABLE | r.FCR_CLEAR_RECEIVED, 0]) {
    it.port.receive(Uint8Array.of(1, 2, 3));
    it.out(r.IIR_FCR, value);
    assert.equal(it.in(r.LSR), r.LSR_IDLE);
  }
});

test("in loopback mode what is sent is received, nothing leaves and nothing comes in", () => {
  const it = rig();
  it.out(r.MCR, r.MCR_LOOPBACK);
  it.out(r.IER, r.IER_RECEIVED);
  it.out(r.RBR_THR, 0x42);
  assert.equal(it.interrupts(), 1);
  assert.equal(it.port.receive(Uint8Array.of(9)), 1);
  assert.deepEqual([it.in(r.RBR_THR), it.in(r.LSR)], [0x42, r.LSR_IDLE]);
  assert.deepEqual(it.output, []);
});

test("modem lines that change are reported once, with their interrupt", () => {
  const it = rig();
  assert.equal(it.in(r.MSR), r.MSR_CTS | r.MSR_DSR | r.MSR_DCD);
  it.out(r.IER, r.IER_MODEM);
  it.out(r.MCR, r.MCR_LOOPBACK | r.MCR_OUT1);
  assert.equal(it.interrupts(), 1);
  assert.equal(it.in(r.IIR_FCR), r.IIR_MODEM);
  assert.equal(it.in(r.MSR), r.MSR_RI | 0x0b);
  assert.equal(it.in(r.MSR), r.MSR_RI);
  assert.equal(it.in(r.IIR_FCR), r.IIR_NONE);
  // The ring indicator counts when it goes.
  it.out(r.MCR, r.MCR_LOOPBACK);
  assert.equal(it.in(r.MSR), 0x04);
});

test("two objects over one state are one port", () => {
  const it = rig();
  const other = new SerialPort({ state: it.state, output: () => {}, interrupt: { pulse: () => {} } });
  other.receive(Uint8Array.of(5));
  assert.equal(it.in(r.RBR_THR), 5);
});

test("wide accesses are accesses to each byte, and odd ones do no harm", () => {
  const it = rig();
  it.port.write(r.MCR, Uint8Array.of(0, 0, 0, 0x77));
  const wide = new Uint8Array(4);
  it.port.read(r.MCR, wide);
  assert.deepEqual(wide, Uint8Array.of(0, r.LSR_IDLE, 0xb0, 0x77));
  const past = new Uint8Array(8);
  it.port.read(7, past);
  assert.deepEqual(past, Uint8Array.of(0x77, 0, 0, 0, 0, 0, 0, 0));
  it.port.write(8, Uint8Array.of(1));
});

test("a state that is too small is refused", () => {
  assert.throws(
    () => new SerialPort({ state: new Int32Array(4), output: () => {}, interrupt: { pulse: () => {} } }),
    RangeError,
  );
});

test("a port goes on from its saved state; an impossible one is refused", () => {
  const it = rig();
  it.out(r.IER, r.IER_RECEIVED);
  it.port.receive(Uint8Array.of(3, 4));
  const words = serialStateCodec.parse(serialStateCodec.encode(it.state));
  const restored = new SerialPort({ state: words, output: () => {}, interrupt: { pulse: () => {} } });
  const byte = new Uint8Array(1);
  restored.read(r.RBR_THR, byte);
  assert.deepEqual(byte, Uint8Array.of(3));
  for (const [index, value] of [
    [0, 256],
    [20, 5],
    [20, 0x200],
  ] as const) {
    const wrong = Int32Array.from(it.state);
    wrong[index] = value;
    assert.throws(() => serialStateCodec.parse(serialStateCodec.encode(wrong)), { code: "SNAPSHOT_INVALID" });
  }
});
