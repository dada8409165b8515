import * as v from "valibot";
import { isDigest } from "./digest.ts";
import type { Digest } from "./image.ts";

/** For documents that hold digests. */
export const digestSchema: v.CustomSchema<Digest, undefined> = v.custom<Digest>(
  (value) => typeof value === "string" && isDigest(value),
);
