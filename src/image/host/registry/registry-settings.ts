import { readFile } from "node:fs/promises";
import * as v from "valibot";
import { SupermachineError } from "../../../errors/supermachine-error.ts";
import { errnoOf } from "../../../errors/system-failure.ts";
import type { RegistryOptions } from "../image-store-types.ts";

const maximumLength = 1024 * 1024;
const hosts = v.array(v.pipe(v.string(), v.nonEmpty(), v.maxLength(300)));
const settingsSchema = v.strictObject({
  insecure: v.optional(hosts),
  mirrors: v.optional(v.record(v.string(), hosts)),
});

/**
 * How the user wants registries to be reached: `registries.json` in the home folder, both fields optional:
 * `{"insecure": ["host:5000"], "mirrors": {"docker.io": ["mirror.example"]}}`.
 *
 * @throws SupermachineError `INVALID_ARGUMENT` when the file cannot be read or says something else
 */
export async function readRegistrySettings(path: string): Promise<RegistryOptions> {
  try {
    const text = await readFile(path, "utf8");
    if (text.length > maximumLength) throw new RangeError("The file is too long");
    return v.parse(settingsSchema, JSON.parse(text));
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return {};
    throw new SupermachineError("INVALID_ARGUMENT", `Cannot read the registry settings '${path}'`, {
      hint: 'Correct the file; it may say {"insecure": ["HOST:PORT"], "mirrors": {"docker.io": ["HOST"]}}',
      cause: error,
    });
  }
}
