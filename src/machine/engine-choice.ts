import type { Engine, EngineSupport } from "../engine/engine.ts";
import { SupermachineError } from "../errors/supermachine-error.ts";
import type { EngineName } from "./types.ts";

/** An engine and what its probe found. */
export interface EngineChoice {
  readonly engine: Engine;
  readonly support: EngineSupport;
}

/**
 * The wanted engine, or with "auto" the first usable one.
 *
 * @throws SupermachineError `ENGINE_UNAVAILABLE`, with every engine's reason.
 */
export async function chooseEngine(
  engines: readonly Engine[],
  wanted: EngineName | "auto",
): Promise<EngineChoice> {
  const candidates = engines.filter(({ name }) => wanted === "auto" || name === wanted);
  const unusable: { name: string; reason: string; remedy?: string }[] = [];
  for (const engine of candidates) {
    const support = await engine.probe();
    if (support.usable) return { engine, support };
    const { reason = support.detail, remedy } = support;
    unusable.push({ name: engine.name, reason, ...(remedy === undefined ? {} : { remedy }) });
  }
  const reasons = unusable.map(({ name, reason }) => `${name}: ${reason}`).join("; ");
  throw new SupermachineError(
    "ENGINE_UNAVAILABLE",
    wanted === "auto"
      ? `No engine can run a machine here (${reasons})`
      : `The engine '${wanted}' cannot be used here (${reasons || "this build does not have it"})`,
    {
      hint: unusable.find(({ remedy }) => remedy !== undefined)?.remedy ?? "Run 'supermachine doctor'",
      data: { engines: unusable },
    },
  );
}

/** What the user of an engine without a hypervisor has to know. */
export const emulationWarning: string =
  "This machine runs in software emulation: it is slow, and no security boundary. Do not run code in it that you do not trust.";
