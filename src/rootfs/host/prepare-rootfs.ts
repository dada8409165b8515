import { existsSync } from "node:fs";
import { mkdir, open, rename } from "node:fs/promises";
import { systemFailure } from "../../errors/system-failure.ts";
import type { LocalImage } from "../../image/image.ts";
import type { ProgressListener } from "../../progress/progress.ts";
import type { Home } from "../../storage/home.ts";
import { createTemporary, sweepTemporary } from "../../storage/temporary.ts";
import { rootfsAborted } from "./rootfs-aborted.ts";
import { rootfsKey, rootfsPath } from "./rootfs-key.ts";

export interface PrepareRootfsOptions {
  readonly home: Home;
  /** "unpack" once per layer, then "convert"; only "convert" with state "cached" when there is nothing to do. */
  readonly onProgress?: ProgressListener | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface PreparedRootfs {
  /** EROFS image file; never written to again. */
  readonly path: string;
  readonly key: string;
  /** It was there already: no layer was read. */
  readonly cached: boolean;
}

/**
 * Makes the root file system of an image, or finds it in the cache.
 *
 * Any number of calls and processes may ask for the same one at once: calls in one process share the work, processes
 * may do it twice, and what becomes visible is always a whole image. Work that a killed process left behind is removed.
 *
 * Rejects with ARCHIVE_INVALID or DIGEST_MISMATCH (the layer is named), ROOTFS_LIMIT, NO_SPACE, IMAGE_NOT_FOUND (a
 * blob is gone) or ABORTED.
 *
 * @example
 * ```ts
 * const { path, cached } = await prepareRootfs(image, { home: new Home() });
 * ```
 */
export async function prepareRootfs(
  image: LocalImage,
  { home, onProgress, signal }: PrepareRootfsOptions,
): Promise<PreparedRootfs> {
  const key = rootfsKey(image);
  const path = rootfsPath(home, key);
  const cached = existsSync(path);
  while (!existsSync(path)) {
    const other = running.get(path);
    if (other === undefined) {
      const work = convert(image, { home, onProgress, signal, key, path }).finally(() =>
        running.delete(path),
      );
      running.set(path, work);
      await work;
      return { path, key, cached: false };
    }
    // Whatever ends the other call's work, its abort included, is not ours: look again.
    await settled(other, signal);
  }
  onProgress?.({ phase: "convert", id: "", state: "cached" });
  return { path, key, cached };
}

/** Conversions of this process by their result's path. */
const running = new Map<string, Promise<void>>();

async function convert(
  image: LocalImage,
  { home, onProgress, signal, key, path }: PrepareRootfsOptions & { key: string; path: string },
): Promise<void> {
  // Not needed when the image is in the cache.
  const { convertInThread } = await import("./convert-in-thread.ts");
  await sweepTemporary(home);
  try {
    await mkdir(home.rootfs, { recursive: true });
    using spool = createTemporary(home, "layers");
    using target = createTemporary(home, "rootfs");
    await mkdir(spool.path);
    const layers = image.layers.map((layer, index) => ({ layer, spool: `${spool.path}/${index}.tar` }));
    const uuid = Uint8Array.from(Buffer.from(key.slice(0, 32), "hex"));
    await convertInThread({ layers, target: target.path, uuid }, { onProgress, signal });
    await rename(target.path, path);
    await syncFolder(home.rootfs);
  } catch (error) {
    throw systemFailure(error, "Storing the root file system", path);
  }
}

/** Waits for another call's work, whatever comes of it, or until `signal` aborts. */
async function settled(work: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  let onAbort = (): void => undefined;
  const abort = new Promise<void>((resolve) => {
    onAbort = resolve;
  });
  signal?.addEventListener("abort", onAbort, { once: true });
  await Promise.race([work.catch(() => undefined), abort]);
  signal?.removeEventListener("abort", onAbort);
  if (signal?.aborted) throw rootfsAborted(signal);
}

/** The name must survive a power failure as well as the bytes. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
