import { SupermachineError } from "../errors/supermachine-error.ts";
import type { Engine, EngineSupport, ProbeOptions } from "./engine.ts";
import { qemuEngine } from "./qemu/engine.ts";
import { vmmEngine } from "./vmm/engine.ts";

/** An engine that can be used here, and what its probe said. */
export interface SelectedEngine {
  readonly engine: Engine;
  readonly support: EngineSupport;
}

/** Every engine, the preferred first. */
export const engines: readonly Engine[] = [vmmEngine, qemuEngine];

/**
 * Chooses an engine: the named one, or with "auto" the first that is usable here.
 *
 * @throws SupermachineError ENGINE_UNAVAILABLE; its hint says for each engine what to do, `data.engines` also why.
 *
 * @example
 * ```ts
 * const { engine, support } = await selectEngine("auto");
 * console.log(engine.name, support.detail);
 * ```
 */
export async function selectEngine(
  name: "auto" | Engine["name"],
  candidates: readonly Engine[] = engines,
  options: ProbeOptions = {},
): Promise<SelectedEngine> {
  const wanted = candidates.filter((engine) => name === "auto" || engine.name === name);
  if (wanted.length === 0)
    throw new SupermachineError("ENGINE_UNAVAILABLE", `There is no engine '${name}' in this version`, {
      hint: `Choose one of: auto, ${candidates.map((engine) => engine.name).join(", ")}`,
    });
  const refused: { name: string; reason: string; remedy: string }[] = [];
  for (const engine of wanted) {
    const support = await engine.probe(options);
    if (support.usable) return { engine, support };
    refused.push({ name: engine.name, reason: support.reason ?? "", remedy: support.remedy ?? "" });
  }
  const reasons = refused.map((one) => `${one.name}: ${one.reason}`).join("; ");
  const what = name === "auto" ? "No engine can run machines" : `The engine '${name}' cannot run machines`;
  throw new SupermachineError("ENGINE_UNAVAILABLE", `${what} here (${reasons})`, {
    hint: refused.map((one) => `${one.name}: ${one.remedy}`).join("; "),
    data: { engines: refused },
  });
}
