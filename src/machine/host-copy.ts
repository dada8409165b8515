import type { MachineFiles } from "./machine-files.ts";

export async function copyIn(_files: MachineFiles, _host: string, _guest: string): Promise<void> {
  throw new Error("to come");
}

export async function copyOut(_files: MachineFiles, _guest: string, _host: string): Promise<void> {
  throw new Error("to come");
}
