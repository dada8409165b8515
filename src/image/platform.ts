import { SupermachineError } from "../errors/supermachine-error.ts";
import type { Platform } from "./image.ts";
import type { Descriptor } from "./manifest.ts";

/**
 * Reads a platform as `--platform` takes it: `linux/arm64`, `linux/arm/v7`, or an architecture alone. Common other
 * spellings (`x86_64`, `aarch64`) are understood.
 *
 * @throws SupermachineError `INVALID_ARGUMENT`
 */
export function parsePlatform(text: string): Platform {
  const parts = text.trim().toLowerCase().split("/");
  const valid = parts.length <= 3 && parts.every((part) => /^[a-z0-9_.-]{1,32}$/.test(part));
  const [os, architecture, variant] = parts.length === 1 ? ["linux", ...parts] : parts;
  if (!valid || os === undefined || architecture === undefined)
    throw new SupermachineError("INVALID_ARGUMENT", `Cannot read platform '${text.slice(0, 60)}'`, {
      hint: "Write os/architecture, for example 'linux/amd64' or 'linux/arm64'",
    });
  return normalizePlatform({ os, architecture, ...(variant === undefined ? {} : { variant }) });
}

/** The platform whose programs a machine on this host runs. `architecture` is Node's `process.arch`. */
export function hostPlatform(architecture: string): Platform {
  return normalizePlatform({ os: "linux", architecture });
}

/** `linux/amd64`, `linux/arm/v7`. */
export function formatPlatform(platform: Platform): string {
  const { os, architecture, variant } = platform;
  return [os || "unknown", architecture || "unknown", ...(variant ? [variant] : [])].join("/");
}

/** Whether an image for `offered` runs where `wanted` is asked for. */
export function platformMatches(offered: Platform, wanted: Platform): boolean {
  return platformRank(offered, wanted) !== undefined;
}

/**
 * The entries of an index that may serve `wanted`, best first. Entries that do not tell their platform come last:
 * only the image's own configuration can say.
 */
export function rankByPlatform(entries: readonly Descriptor[], wanted: Platform): readonly Descriptor[] {
  const ranked: { entry: Descriptor; rank: number }[] = [];
  for (const entry of entries) {
    if (isAttestation(entry)) continue;
    const rank = entry.platform === undefined ? Infinity : platformRank(entry.platform, wanted);
    if (rank !== undefined) ranked.push({ entry, rank });
  }
  // Infinity minus Infinity is NaN, so compare instead of subtracting; the sort is stable.
  return ranked.sort((a, b) => (a.rank === b.rank ? 0 : a.rank < b.rank ? -1 : 1)).map(({ entry }) => entry);
}

/** The error that says what there is instead. */
export function platformMismatch(
  name: string,
  wanted: Platform,
  available: readonly Platform[],
): SupermachineError {
  const list = [...new Set(available.map((platform) => formatPlatform(normalizePlatform(platform))))].sort();
  const some = list.slice(0, 20).join(", ");
  return new SupermachineError(
    "PLATFORM_MISMATCH",
    `Image '${name}' has no variant for ${formatPlatform(wanted)}`,
    {
      hint: list.length === 0 ? "The image offers no platform at all" : `It is there for: ${some}`,
      data: { wanted: formatPlatform(wanted), available: list },
    },
  );
}

/** The platforms that an index offers, without build attestations. */
export function platformsOf(entries: readonly Descriptor[]): readonly Platform[] {
  return entries.flatMap((entry) =>
    entry.platform === undefined || isAttestation(entry) ? [] : [entry.platform],
  );
}

/** One spelling per platform: other names of architectures replaced, variants that are the default left out. */
export function normalizePlatform(platform: Platform): Platform {
  const os = platform.os.toLowerCase();
  const written = platform.architecture.toLowerCase();
  const [architecture, implied] = synonyms.get(written) ?? [written, undefined];
  const variant = platform.variant?.toLowerCase().replace(/^(?=\d)/, "v") ?? implied;
  const isDefault = variant === undefined || variant === "" || defaultVariants.get(architecture) === variant;
  return isDefault ? { os, architecture } : { os, architecture, variant };
}

const synonyms: ReadonlyMap<string, readonly [string, string | undefined]> = new Map([
  ["x64", ["amd64", undefined]],
  ["x86_64", ["amd64", undefined]],
  ["x86-64", ["amd64", undefined]],
  ["aarch64", ["arm64", undefined]],
  ["armhf", ["arm", "v7"]],
  ["armel", ["arm", "v6"]],
  ["i386", ["386", undefined]],
  ["ia32", ["386", undefined]],
]);
const defaultVariants: ReadonlyMap<string, string> = new Map([
  ["amd64", "v1"],
  ["arm64", "v8"],
  ["arm", "v7"],
]);

/** 0 is exact, larger is worse, undefined does not run. */
function platformRank(offered: Platform, wanted: Platform): number | undefined {
  const have = normalizePlatform(offered);
  const want = normalizePlatform(wanted);
  if (have.os !== want.os) return undefined;
  // 32-bit programs run on the 64-bit kernel, as in containerd's order of preference; last resort.
  if (have.architecture === "386" && want.architecture === "amd64") return 1000;
  if (have.architecture !== want.architecture) return undefined;
  const distance = variantLevel(want) - variantLevel(have);
  return distance >= 0 ? distance : undefined;
}

/** A variant includes those below it: v7 runs v6, amd64/v3 runs v2. 8.1 and 8 differ, too. */
function variantLevel(platform: Platform): number {
  const level = Number.parseFloat((platform.variant ?? baseVariant(platform.architecture)).slice(1));
  return Number.isFinite(level) ? level : 0;
}

function baseVariant(architecture: string): string {
  return defaultVariants.get(architecture) ?? "v0";
}

function isAttestation(entry: Descriptor): boolean {
  return (
    entry.annotations["vnd.docker.reference.type"] === "attestation-manifest" ||
    (entry.platform?.os === "unknown" && entry.platform.architecture === "unknown")
  );
}
