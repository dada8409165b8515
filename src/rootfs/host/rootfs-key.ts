import { createHash } from "node:crypto";
import { join } from "node:path";
import type { LocalImage } from "../../image/image.ts";
import type { Home } from "../../storage/home.ts";

/** Part of every key: counted up when the same layers would give another image (format, merge rules). */
const formatVersion = 1;

/** Names a root file system by what it is made from: the uncompressed layers, in order, and nothing else. */
export function rootfsKey(image: Pick<LocalImage, "layers">): string {
  const hash = createHash("sha256").update(`supermachine rootfs ${formatVersion}\n`);
  for (const { diffId } of image.layers) hash.update(`${diffId}\n`);
  return hash.digest("hex");
}

/** Where the image of that key lies when it exists; only complete images ever do. */
export function rootfsPath(home: Home, key: string): string {
  return join(home.rootfs, `${key}.erofs`);
}
