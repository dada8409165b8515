import { SupermachineError } from "../errors/supermachine-error.ts";
import type { CreationParts } from "./creation-parts.ts";

const missing = async (): Promise<never> => {
  throw new SupermachineError("UNSUPPORTED", "To come");
};

/** The real parts of a machine. */
export const defaultParts: CreationParts = {
  engines: [],
  openAgent: missing,
  pullImage: missing,
  prepareRootfs: missing,
  provideKernel: missing,
  monitorEntry: new URL("./monitor-process.js", import.meta.url),
};
