import type { AgentLink } from "./link.ts";
import type { AgentTransport } from "./requests.ts";
import { RoutedClient } from "./routed-client.ts";

/**
 * Shares one agent connection between several speakers of the agent protocol. To each it looks like an agent of its
 * own that is set up already. What a client starts ends with it; a client that breaks the protocol, or does not read,
 * loses its own connection and nothing else.
 *
 * @example
 * ```ts no-run
 * const link = await AgentLink.connect(transport);
 * const agent = new AgentClient(link); // for this process
 * const router = new AgentRouter(link); // for the others
 * server.on("connection", (socket) => router.attach(duplexTransport(socket)));
 * ```
 */
export class AgentRouter {
  readonly #link: AgentLink;
  readonly #clients = new Set<RoutedClient>();

  constructor(link: AgentLink) {
    this.#link = link;
    void link.closed.then(() => this.close());
  }

  /** Serves a client until its transport ends. */
  attach(transport: AgentTransport): void {
    const client = new RoutedClient(this.#link, transport);
    this.#clients.add(client);
    void client.served.then(() => this.#clients.delete(client));
  }

  /** Drops all clients; the agent connection stays. */
  close(): void {
    for (const client of this.#clients) client.close();
  }
}
