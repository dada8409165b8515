// OCI image spec: "OCI Image Configuration".
import * as v from "valibot";
import { digestSchema } from "./digest-schema.ts";
import type { Digest, ImageConfig, Platform } from "./image.ts";
import { parseJsonDocument } from "./json-document.ts";
import { maximumLayers } from "./limits.ts";
import type { Origin } from "./origin.ts";

/** What an image's configuration says. */
export interface ParsedConfig {
  readonly platform: Platform;
  readonly config: ImageConfig;
  /** Digests of the uncompressed layers, bottom first. */
  readonly diffIds: readonly Digest[];
}

/** Parses an image configuration. Unknown fields are allowed; absent ones get their defaults. */
export function parseImageConfig(bytes: Uint8Array, origin: Origin): ParsedConfig {
  const parsed = parseJsonDocument(bytes, schema, { origin, what: "its configuration" });
  const config = parsed.config ?? v.getDefaults(runSchema);
  return {
    platform: {
      // Configurations made by hand leave these out; they come from the days when there was one platform.
      os: parsed.os || "linux",
      architecture: parsed.architecture || "amd64",
      ...(parsed.variant ? { variant: parsed.variant } : {}),
    },
    config: {
      env: config.Env ?? [],
      entrypoint: config.Entrypoint ?? [],
      cmd: config.Cmd ?? [],
      workingDir: config.WorkingDir ?? "",
      user: config.User ?? "",
      stopSignal: config.StopSignal ?? "",
      volumes: Object.keys(config.Volumes ?? {}),
      exposedPorts: Object.keys(config.ExposedPorts ?? {}),
      labels: config.Labels ?? {},
    },
    diffIds: parsed.rootfs.diff_ids,
  };
}

// These strings end up in execve(2) and mount(2), where a zero byte would cut them short.
const text = v.pipe(
  v.string(),
  v.check((value) => !value.includes("\0")),
);
const texts = v.pipe(v.array(text), v.maxLength(65_536));
/** Early builders wrote a single command as a string. */
const command = v.union([
  texts,
  v.pipe(
    text,
    v.transform((value) => [value]),
  ),
]);
const names = v.pipe(
  v.record(text, v.unknown()),
  v.check((value) => Object.keys(value).length <= 4096),
);
const runSchema = v.object({
  User: v.nullish(text),
  Env: v.nullish(texts),
  Entrypoint: v.nullish(command),
  Cmd: v.nullish(command),
  WorkingDir: v.nullish(text),
  StopSignal: v.nullish(text),
  Volumes: v.nullish(names),
  ExposedPorts: v.nullish(names),
  Labels: v.nullish(v.record(v.string(), v.string())),
});
const schema = v.object({
  os: v.nullish(text),
  architecture: v.nullish(text),
  variant: v.nullish(text),
  config: v.nullish(runSchema),
  rootfs: v.object({
    type: v.optional(v.literal("layers")),
    diff_ids: v.pipe(v.array(digestSchema), v.maxLength(maximumLayers)),
  }),
});
