import type { MachineLink } from "./machine-link.ts";
import type { MachineOptions } from "./types.ts";

export async function createMachine(_image: string, _options: MachineOptions): Promise<MachineLink> {
  throw new Error("to come");
}
