import { statSync } from "node:fs";

/** What tells a file from a later one in its place, without reading it: for keys of what was made with large files. */
export function fileIdentity(path: string): readonly string[] {
  const { dev, ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
  return [dev, ino, size, mtimeNs, ctimeNs].map(String);
}
