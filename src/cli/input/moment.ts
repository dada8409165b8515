import { SupermachineError } from "../../errors/supermachine-error.ts";

/**
 * Reads a point in time: a span before now ("90s", "10m", "2h30m", "1d"), seconds since 1970, or a date ("2026-01-31",
 * "2026-01-31T10:00:00Z"). Returns milliseconds since 1970.
 */
export function parseMoment(text: string, options: { option: string; nowMs: number }): number {
  if (/^[0-9]+(\.[0-9]+)?$/.test(text)) return Number(text) * 1000;
  if (/^([0-9]+[dhms])+$/.test(text)) {
    const parts = [...text.matchAll(/([0-9]+)([dhms])/g)];
    return (
      options.nowMs -
      parts.reduce((sum, [, count, unit = "s"]) => sum + Number(count) * (unitMs[unit] ?? 0), 0)
    );
  }
  const date = /^[0-9]{4}-/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(date))
    throw new SupermachineError("INVALID_ARGUMENT", `'${text}' is not a usable value for ${options.option}`, {
      hint: "Give a span such as 10m or 2h, or a date such as 2026-01-31T10:00:00Z",
    });
  return date;
}

const unitMs: Readonly<Record<string, number>> = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000 };
