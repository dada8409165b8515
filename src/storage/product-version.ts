import { readFileSync } from "node:fs";

/** The version in package.json, which is found from this file's place in `dist/src/storage`. */
export function productVersion(): string {
  const text = readFileSync(new URL("../../../package.json", import.meta.url), "utf8");
  const version: unknown = JSON.parse(text).version;
  return typeof version === "string" ? version : "unknown";
}
