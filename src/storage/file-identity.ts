import { statSync } from "node:fs";

/** Of a file whose contents would take long to read: a write changes it, and no other file has the same. */
export function fileIdentity(path: string): readonly string[] {
  const { dev, ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
  return [dev, ino, size, mtimeNs, ctimeNs].map(String);
}
