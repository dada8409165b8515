import type { Duplex } from "node:stream";
import type { Agent, AgentTransport } from "../agent/requests.ts";

/** The one connection to a guest's agent, shared by this process and everybody at the control socket. */
export interface AgentHub {
  readonly agent: Agent;
  /** Serves another speaker of the agent protocol until its transport ends. */
  attach(transport: AgentTransport): void;
  /** Ends everything that is under way, with the reason where there is one. */
  close(reason?: Error): void;
}

/**
 * Does the version check at the guest's end. Rejects when the stream is destroyed. `onOperations` is told how many operations
 * are under way, whoever has begun them, whenever that has changed.
 */
export type OpenAgent = (stream: Duplex, onOperations: (underWay: number) => void) => Promise<AgentHub>;
