import { AgentClient } from "../agent/client.ts";
import { AgentLink } from "../agent/link.ts";
import { AgentRouter } from "../agent/router.ts";
import { duplexTransport } from "../agent/transports/duplex.ts";
import { engines } from "../engine/select.ts";
import type { CreationParts } from "./creation-parts.ts";

/** What a running machine needs; a detached monitor's process loads nothing else. */
export const monitorParts: Pick<CreationParts, "engines" | "openAgent"> = {
  engines,
  openAgent: async (stream, onOperations) => {
    const link = await AgentLink.connect(duplexTransport(stream), { onOperations });
    const router = new AgentRouter(link);
    return {
      agent: new AgentClient(link),
      attach: (transport) => router.attach(transport),
      close: (reason) => link.close(reason),
    };
  },
};
