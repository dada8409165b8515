import { SupermachineError } from "../errors/supermachine-error.ts";

/** Below this a stock kernel does not reach its init. */
const leastMiB = 64;
/** One TiB: above it a typing mistake is likelier than a wish. */
const mostMiB = 1024 * 1024;

const mebibytes: Readonly<Record<string, number>> = {
  b: 1 / (1024 * 1024),
  k: 1 / 1024,
  m: 1,
  g: 1024,
  t: 1024 * 1024,
};

/**
 * Guest memory in MiB from 512, "512MiB", "512m", "1g" or "1.5GiB". As in docker, units are powers of 1024 however they
 * are written. A string without a unit is refused: docker reads it as bytes, nearly everyone else means MiB.
 *
 * @throws SupermachineError `INVALID_ARGUMENT`.
 */
export function parseMemory(memory: number | string): number {
  const amount = typeof memory === "number" ? memory : parseText(memory);
  if (amount === undefined || !Number.isFinite(amount))
    throw new SupermachineError("INVALID_ARGUMENT", `The memory size '${memory}' cannot be read`, {
      hint: 'Write a number with its unit, such as "512MiB" or "2g"',
    });
  const rounded = Math.ceil(amount);
  if (rounded < leastMiB || rounded > mostMiB)
    throw new SupermachineError("INVALID_ARGUMENT", `The memory size '${memory}' is out of range`, {
      hint: `Use ${leastMiB} MiB to 1 TiB`,
    });
  return rounded;
}

function parseText(text: string): number | undefined {
  const match = /^([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*([bkmgt])(?:i?b)?$/i.exec(text.trim());
  const unit = match?.[2]?.toLowerCase();
  const scale = unit === undefined ? undefined : mebibytes[unit];
  return scale === undefined ? undefined : Number(match?.[1]) * scale;
}
