import { gpa } from "../../memory/address.ts";
import { HeapMemory } from "../../memory/heap-memory.ts";
import type { VirtioDevice } from "../device.ts";
import { DeviceHost } from "../device-host.ts";
import { MmioTransport } from "../mmio-transport.ts";
import {
  type TransportRegisters,
  transportRegisters,
  transportRegistersLength,
} from "../transport-registers.ts";
import { DriverDouble } from "./driver-double.ts";

/** A device with all around it that a test needs, and no machine. */
export interface DeviceRig {
  readonly memory: HeapMemory;
  readonly host: DeviceHost;
  readonly registers: TransportRegisters;
  readonly transport: MmioTransport;
  readonly driver: DriverDouble;
  /** How often the interrupt line was pulsed. */
  interrupts(): number;
}

/** Attaches the device to a transport over heap memory that starts at 0. */
export function deviceRig(device: VirtioDevice, options: { memoryBytes?: number } = {}): DeviceRig {
  const memory = new HeapMemory([{ start: gpa(0), length: options.memoryBytes ?? 0x10_0000 }]);
  const registers = transportRegisters(new ArrayBuffer(transportRegistersLength));
  let pulses = 0;
  const interrupt = {
    pulse: () => {
      pulses++;
    },
  };
  const host = new DeviceHost(device, { memory, registers, interrupt });
  const transport = new MmioTransport(device.name, registers, host);
  return {
    memory,
    host,
    registers,
    transport,
    driver: new DriverDouble(memory, transport),
    interrupts: () => pulses,
  };
}
