import { COM1_GSI, COM1_PORT, SLEEP_TYPE_S5 } from "../layout.ts";
import {
  type Aml,
  amlDevice,
  amlInteger,
  amlName,
  amlPackage,
  amlResources,
  amlScope,
  amlString,
  edgeInterrupt,
  fixedMemory32,
  ioPorts,
} from "./aml.ts";

/** Where a virtio-mmio device's registers are, and its interrupt. */
export interface MmioDeviceSlot {
  readonly start: number;
  readonly length: number;
  readonly gsi: number;
}

/** The definition block's body: what devices there are and where, and how to power off. */
export function dsdtBody(slots: readonly MmioDeviceSlot[]): Uint8Array {
  const devices = amlScope("\\_SB_", [serialPort(), ...slots.map(virtioMmio)]);
  // Sleep type for the sleep control register, once for each of the two PM1 blocks that we do not have.
  const sleep = amlName("_S5_", amlPackage([SLEEP_TYPE_S5, SLEEP_TYPE_S5, 0, 0].map(amlInteger)));
  return Uint8Array.from([...devices, ...sleep]);
}

function serialPort(): Aml {
  return amlDevice("COM1", [
    amlName("_HID", amlString("PNP0501")),
    amlName("_UID", amlInteger(0)),
    amlName("_CRS", amlResources([ioPorts(COM1_PORT, 8), edgeInterrupt(COM1_GSI)])),
  ]);
}

/** "LNRO0005" is what Linux's virtio_mmio driver binds to. */
function virtioMmio(slot: MmioDeviceSlot, index: number): Aml {
  return amlDevice(`VR${index.toString(16).toUpperCase().padStart(2, "0")}`, [
    amlName("_HID", amlString("LNRO0005")),
    amlName("_UID", amlInteger(index)),
    amlName("_CCA", amlInteger(1)),
    amlName("_CRS", amlResources([fixedMemory32(slot.start, slot.length), edgeInterrupt(slot.gsi)])),
  ]);
}
