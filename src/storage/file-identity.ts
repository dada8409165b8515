import { statSync } from "node:fs";

/** What tells a file from a later one in its place, without reading it: for keys of what was made with large files. */
export function fileIdentity(path: string): readonly string[] {
  const { size, ino, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
  return [path, ...[size, ino, mtimeNs, ctimeNs].map(String)];
}
