import { fd } from "../../abi/fd.ts";
import {
  COM1_PORT,
  KEYBOARD_PORT,
  RESET_VALUE,
  SLEEP_CONTROL_PORT,
  SLEEP_TYPE_S5,
  VIRTIO_MMIO_START,
  VIRTIO_MMIO_STRIDE,
} from "../../arch/x64/layout.ts";
import { Bus } from "../../bus/bus.ts";
import { PowerPorts, powerPortsLength } from "../../devices/power/device.ts";
import { KeyboardReset } from "../../devices/power/keyboard-reset.ts";
import { SerialPort, serialPortLength } from "../../devices/serial/device.ts";
import { openKvmVcpu } from "../../hypervisor/kvm/vcpu.ts";
import type { Vcpu } from "../../hypervisor/vcpu.ts";
import type { PioExit, VcpuExit } from "../../hypervisor/vcpu-exit.ts";
import { write } from "../../sys/linux/file.ts";
import { nameThread } from "../../sys/linux/thread.ts";
import { MmioTransport, type TransportHooks } from "../../virtio/mmio-transport.ts";
import { transportRegisters, transportRegistersLength } from "../../virtio/transport-registers.ts";
import { countExit } from "./exit-counts.ts";
import { askMonitor, type DeviceRequest } from "./mailbox.ts";
import { type VcpuEnd, type VcpuJob, type VcpuMessage, WISH_PAUSE, WISH_STOP } from "./vcpu-protocol.ts";

/** Console output is handed over at the end of a line, or when this much has come together. */
const consoleChunk = 256;

/** To be called by a thread that waits for its first vCPU: what calls the system is loaded then, and not when there is one. */
export function awaitVcpu(): void {
  nameThread("idle vcpu");
}

/**
 * What a thread does for one vCPU, from start to end: runs the guest and answers its accesses. Those to registers are
 * answered from shared memory; only what changes a device goes to the monitor.
 */
export function runVcpu(data: VcpuJob, send: (message: VcpuMessage) => void): void {
  let end: VcpuEnd;
  try {
    end = new VcpuLoop(data, send).run();
  } catch (error) {
    end = { kind: "failed", detail: error instanceof Error ? error.message : String(error) };
  }
  awaitVcpu();
  send({ kind: "end", end });
}

class VcpuLoop {
  readonly #data: VcpuJob;
  readonly #send: (message: VcpuMessage) => void;
  readonly #wish: Int32Array;
  readonly #memoryBus: Bus = new Bus();
  readonly #portBus: Bus = new Bus();
  readonly #console: number[] = [];
  #end: VcpuEnd | undefined;

  constructor(data: VcpuJob, send: (message: VcpuMessage) => void) {
    this.#data = data;
    this.#send = send;
    this.#wish = new Int32Array(data.wish);
    for (let slot = 0; slot < data.slotCount; slot++) this.#attachSlot(slot);
    this.#attachPorts();
  }

  run(): VcpuEnd {
    const { ticket, start } = this.#data;
    const counts = new Int32Array(this.#data.exitCounts);
    nameThread(`vcpu ${ticket.index}`);
    // Not by way of `KvmHypervisor`: every thread would load all that makes VMs, which takes half its start.
    using vcpu = openKvmVcpu(ticket);
    if (start.kind === "boot") vcpu.configure(start.profile, start.entry);
    // After an access, the guest's instruction is complete only once the guest was entered again.
    let isBetweenInstructions = true;
    while (this.#end === undefined) {
      // Pairs with the stores in `RunningVcpu`, which kicks afterwards.
      const wish = Atomics.load(this.#wish, 0);
      if (wish === WISH_STOP) break;
      if (wish >= WISH_PAUSE) {
        if (isBetweenInstructions) {
          this.#pause(wish);
          continue;
        }
        vcpu.requestExit();
      }
      const exit = vcpu.run();
      countExit(counts, exit.kind);
      isBetweenInstructions = exit.kind === "interrupted";
      this.#handle(exit, vcpu);
    }
    this.#flushConsole();
    return this.#end ?? { kind: "stopped" };
  }

  /** Until the wish is another one. */
  #pause(wish: number): void {
    this.#flushConsole();
    this.#send({ kind: "paused" });
    Atomics.wait(this.#wish, 0, wish);
  }

  #handle(exit: VcpuExit, vcpu: Vcpu): void {
    switch (exit.kind) {
      case "mmio-read":
        this.#memoryBus.read(exit.address, exit.data);
        return;
      case "mmio-write":
        this.#memoryBus.write(exit.address, exit.data);
        return;
      case "pio-in":
      case "pio-out":
        return this.#handlePorts(exit);
      case "interrupted":
        return this.#flushConsole();
      case "halt":
        this.#end = { kind: "failed", detail: `vCPU ${vcpu.index} halted without an interrupt controller` };
        return;
      case "shutdown":
        this.#end = { kind: "power-off" };
        return;
      case "reset":
      case "triple-fault":
        this.#end = { kind: exit.kind };
        return;
      case "failed":
        this.#end = exit;
    }
  }

  /** A string instruction repeats one access; a port where nothing is reads as all ones, as on a PC. */
  #handlePorts({ kind, port, width, count, data }: PioExit): void {
    for (let done = 0; done < count && this.#end === undefined; done++) {
      const access = data.subarray(done * width, (done + 1) * width);
      if (kind === "pio-out") this.#portBus.write(port, access);
      else if (!this.#portBus.read(port, access)) access.fill(0xff);
    }
  }

  #attachSlot(slot: number): void {
    const registers = transportRegisters(this.#data.slotRegisters, slot * transportRegistersLength);
    const ask = (request: Omit<DeviceRequest, "slot">): boolean => this.#ask({ ...request, slot });
    const hooks: TransportHooks = {
      reset: () => void ask({ kind: "reset" }),
      activate: () => ask({ kind: "activate" }),
      stopQueue: (queue) => void ask({ kind: "stopQueue", argument: queue }),
      startQueue: (queue) => ask({ kind: "startQueue", argument: queue }),
      notify: (queue) => void ask({ kind: "notify", argument: queue }),
      writeConfig: (offset, data) => void ask({ kind: "writeConfig", argument: offset, data }),
    };
    const start = VIRTIO_MMIO_START + slot * VIRTIO_MMIO_STRIDE;
    this.#memoryBus.attach(start, VIRTIO_MMIO_STRIDE, new MmioTransport(`virtio ${slot}`, registers, hooks));
  }

  #attachPorts(): void {
    const { serialState, serialInterrupt } = this.#data;
    const interrupt = fd(serialInterrupt);
    const one = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0);
    const serial = new SerialPort({
      state: new Int32Array(serialState),
      interrupt: { pulse: () => void write(interrupt, one) },
      output: (byte) => this.#print(byte),
    });
    this.#portBus.attach(COM1_PORT, serialPortLength, serial);
    const onReset = (): void => {
      this.#end = { kind: "reset" };
    };
    const power = new PowerPorts({
      powerOffSleepType: SLEEP_TYPE_S5,
      resetValue: RESET_VALUE,
      onPowerOff: () => {
        this.#end = { kind: "power-off" };
      },
      onReset,
    });
    this.#portBus.attach(SLEEP_CONTROL_PORT, powerPortsLength, power);
    this.#portBus.attach(KEYBOARD_PORT, 1, new KeyboardReset(onReset));
  }

  #print(byte: number): void {
    this.#console.push(byte);
    if (byte === 10 || this.#console.length >= consoleChunk) this.#flushConsole();
  }

  #flushConsole(): void {
    if (this.#console.length === 0) return;
    this.#send({ kind: "console", bytes: Uint8Array.from(this.#console.splice(0)) });
  }

  #ask(request: DeviceRequest): boolean {
    return askMonitor(this.#data.mailbox, request, () => this.#send({ kind: "ask" }));
  }
}
