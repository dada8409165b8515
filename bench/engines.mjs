import { engines as allEngines } from "../dist/src/engine/select.js";

/**
 * The engines to measure: all that are usable, or the one asked for. What is not measured, or is no measure of a
 * hypervisor, is noted with the reason.
 */
export async function usableEngines(wanted) {
  const engines = [];
  const notes = [];
  for (const engine of allEngines) {
    if (wanted !== undefined && engine.name !== wanted) continue;
    const { usable, accelerator, isolating, reason } = await engine.probe();
    if (usable) engines.push({ name: engine.name, accelerator });
    else notes.push(`the engine '${engine.name}' is not measured: ${reason}`);
    if (usable && !isolating)
      notes.push(`the engine '${engine.name}' is software emulation here (${accelerator})`);
  }
  return { engines, notes };
}
