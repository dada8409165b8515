import { ImageStore } from "../image/host/image-store.ts";
import { provideKernel } from "../kernel/host/provide-kernel.ts";
import { prepareRootfs } from "../rootfs/host/prepare-rootfs.ts";
import type { CreationParts } from "./creation-parts.ts";
import { monitorParts } from "./monitor-parts.ts";

/** The real parts of a machine. */
export const defaultParts: CreationParts = {
  ...monitorParts,
  pullImage: (source, { home, ...options }) => new ImageStore(home).pull(source, options),
  prepareRootfs: async (image, options) => (await prepareRootfs(image, options)).path,
  provideKernel: ({ path, ...options }) => provideKernel({ ...options, override: path }),
  monitorEntry: moduleBeside("monitor-process"),
};

/** A compiled module of this folder; its source when the sources themselves are run. */
function moduleBeside(name: string): URL {
  return new URL(`./${name}${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url);
}
