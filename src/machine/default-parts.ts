import { AgentClient } from "../agent/client.ts";
import { AgentLink } from "../agent/link.ts";
import { AgentRouter } from "../agent/router.ts";
import { duplexTransport } from "../agent/transports/duplex.ts";
import { engines } from "../engine/select.ts";
import { ImageStore } from "../image/host/image-store.ts";
import { provideKernel } from "../kernel/host/provide-kernel.ts";
import { prepareRootfs } from "../rootfs/host/prepare-rootfs.ts";
import type { CreationParts } from "./creation-parts.ts";

/** The real parts of a machine. */
export const defaultParts: CreationParts = {
  engines,
  openAgent: async (stream) => {
    const link = await AgentLink.connect(duplexTransport(stream));
    const router = new AgentRouter(link);
    return {
      agent: new AgentClient(link),
      attach: (transport) => router.attach(transport),
      close: () => link.close(),
    };
  },
  pullImage: (source, { home, ...options }) => new ImageStore(home).pull(source, options),
  prepareRootfs: async (image, options) => (await prepareRootfs(image, options)).path,
  provideKernel: ({ path, ...options }) => provideKernel({ ...options, override: path }),
  monitorEntry: moduleBeside("monitor-process"),
};

/** A compiled module of this folder; its source when the sources themselves are run. */
function moduleBeside(name: string): URL {
  return new URL(`./${name}${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url);
}
