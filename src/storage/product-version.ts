import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

let version: string | undefined;

/** The version in the package.json above this file, which is compiled to `dist/src/storage` or into `dist/bundle`. */
export function productVersion(): string {
  version ??= findVersion();
  return version;
}

function findVersion(): string {
  for (let folder = import.meta.dirname; folder !== dirname(folder); folder = dirname(folder)) {
    const path = join(folder, "package.json");
    if (!existsSync(path)) continue;
    const version: unknown = JSON.parse(readFileSync(path, "utf8")).version;
    if (typeof version === "string") return version;
  }
  return "unknown";
}
