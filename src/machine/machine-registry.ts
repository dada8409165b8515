import type { MachineLink } from "./machine-link.ts";
import type { ListOptions, LookupOptions, MachineInfo } from "./types.ts";

export async function connectMachine(_nameOrId: string, _options: LookupOptions): Promise<MachineLink> {
  throw new Error("to come");
}

export async function listMachines(_options: ListOptions): Promise<MachineInfo[]> {
  throw new Error("to come");
}
